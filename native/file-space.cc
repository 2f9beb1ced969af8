// Space of regular files: holes, zero ranges, page cache and the alignment that direct I/O asks for.
#include "syscall.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef STATX_DIOALIGN
#define STATX_DIOALIGN 0x00002000U
#endif

namespace ectype {

static void Fallocate(const Napi::CallbackInfo &info, int mode, const char *name) {
  const int fd = static_cast<int>(IntegerArgument(info, 0));
  if (fallocate(fd, mode, IntegerArgument(info, 1), IntegerArgument(info, 2)) < 0) {
    throw SyscallError(info.Env(), name, errno);
  }
}

/// punchHole(fd, offset, length): frees the bytes; they read as zeros. The file keeps its size.
static void PunchHole(const Napi::CallbackInfo &info) {
  Fallocate(info, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, "fallocate(PUNCH_HOLE)");
}

/// zeroRange(fd, offset, length): the bytes read as zeros and their space stays allocated.
static void ZeroRange(const Napi::CallbackInfo &info) {
  Fallocate(info, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, "fallocate(ZERO_RANGE)");
}

/// Offset of the next data or hole at or after `offset`; -1 where there is none (ENXIO).
static Napi::Value Seek(const Napi::CallbackInfo &info, int whence, const char *name) {
  const int fd = static_cast<int>(IntegerArgument(info, 0));
  const off_t found = lseek(fd, IntegerArgument(info, 1), whence);
  if (found < 0 && errno != ENXIO) throw SyscallError(info.Env(), name, errno);
  return Napi::Number::New(info.Env(), static_cast<double>(found));
}

/// seekData(fd, offset)
static Napi::Value SeekData(const Napi::CallbackInfo &info) { return Seek(info, SEEK_DATA, "lseek(SEEK_DATA)"); }

/// seekHole(fd, offset)
static Napi::Value SeekHole(const Napi::CallbackInfo &info) { return Seek(info, SEEK_HOLE, "lseek(SEEK_HOLE)"); }

/// dropCache(fd, offset, length): advises the kernel to forget cached pages that are already on the medium.
static void DropCache(const Napi::CallbackInfo &info) {
  const int fd = static_cast<int>(IntegerArgument(info, 0));
  const int error_number = posix_fadvise(fd, IntegerArgument(info, 1), IntegerArgument(info, 2), POSIX_FADV_DONTNEED);
  if (error_number != 0) throw SyscallError(info.Env(), "posix_fadvise(DONTNEED)", error_number);
}

// struct statx of older C libraries lacks the direct I/O fields; these are their places in the kernel's structure
// (include/uapi/linux/stat.h: stx_dio_mem_align at byte 152, stx_dio_offset_align at byte 156).
struct StatxBytes {
  alignas(8) unsigned char bytes[256];
};

/// directIoAlignment(fd): {memory, offset} in bytes; {0, 0} if the kernel does not tell or direct I/O is impossible.
static Napi::Value DirectIoAlignment(const Napi::CallbackInfo &info) {
  const int fd = static_cast<int>(IntegerArgument(info, 0));
  StatxBytes raw{};
  static_assert(sizeof(struct statx) <= sizeof(raw.bytes), "struct statx fits");
  if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, reinterpret_cast<struct statx *>(raw.bytes)) < 0) {
    throw SyscallError(info.Env(), "statx", errno);
  }
  uint32_t mask = 0, memory = 0, offset = 0;
  memcpy(&mask, raw.bytes, 4);
  if (mask & STATX_DIOALIGN) {
    memcpy(&memory, raw.bytes + 152, 4);
    memcpy(&offset, raw.bytes + 156, 4);
  }
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("memory", Napi::Number::New(info.Env(), memory));
  result.Set("offset", Napi::Number::New(info.Env(), offset));
  return result;
}

void ExportFileSpace(Napi::Env env, Napi::Object exports) {
  exports.Set("punchHole", Napi::Function::New(env, PunchHole));
  exports.Set("zeroRange", Napi::Function::New(env, ZeroRange));
  exports.Set("seekData", Napi::Function::New(env, SeekData));
  exports.Set("seekHole", Napi::Function::New(env, SeekHole));
  exports.Set("dropCache", Napi::Function::New(env, DropCache));
  exports.Set("directIoAlignment", Napi::Function::New(env, DirectIoAlignment));
}

}  // namespace ectype
