// Block device ioctls (linux/fs.h): geometry, discard, zero-out, cache and partition table.
#include "syscall.h"

#include <linux/fs.h>
#include <sys/ioctl.h>

namespace ectype {

/// blockDeviceSize(fd): size in bytes.
static Napi::Value BlockDeviceSize(const Napi::CallbackInfo &info) {
  uint64_t size = 0;
  if (ioctl(static_cast<int>(IntegerArgument(info, 0)), BLKGETSIZE64, &size) < 0) {
    throw SyscallError(info.Env(), "ioctl(BLKGETSIZE64)", errno);
  }
  return Napi::Number::New(info.Env(), static_cast<double>(size));
}

/// logicalSectorSize(fd): the smallest unit the device addresses, in bytes.
static Napi::Value LogicalSectorSize(const Napi::CallbackInfo &info) {
  int size = 0;
  if (ioctl(static_cast<int>(IntegerArgument(info, 0)), BLKSSZGET, &size) < 0) {
    throw SyscallError(info.Env(), "ioctl(BLKSSZGET)", errno);
  }
  return Napi::Number::New(info.Env(), size);
}

/// physicalSectorSize(fd): the smallest unit the device writes without reading first, in bytes.
static Napi::Value PhysicalSectorSize(const Napi::CallbackInfo &info) {
  unsigned int size = 0;
  if (ioctl(static_cast<int>(IntegerArgument(info, 0)), BLKPBSZGET, &size) < 0) {
    throw SyscallError(info.Env(), "ioctl(BLKPBSZGET)", errno);
  }
  return Napi::Number::New(info.Env(), size);
}

static void RangeIoctl(const Napi::CallbackInfo &info, unsigned long request, const char *name) {
  uint64_t range[2] = {static_cast<uint64_t>(IntegerArgument(info, 1)),
                       static_cast<uint64_t>(IntegerArgument(info, 2))};
  if (ioctl(static_cast<int>(IntegerArgument(info, 0)), request, range) < 0) {
    throw SyscallError(info.Env(), name, errno);
  }
}

/// blockDiscard(fd, offset, length): the bytes' content is undefined afterwards.
static void BlockDiscard(const Napi::CallbackInfo &info) { RangeIoctl(info, BLKDISCARD, "ioctl(BLKDISCARD)"); }

/// blockZeroOut(fd, offset, length): the bytes read as zeros afterwards.
static void BlockZeroOut(const Napi::CallbackInfo &info) { RangeIoctl(info, BLKZEROOUT, "ioctl(BLKZEROOUT)"); }

/// flushDeviceCache(fd): writes back and drops the kernel's cached pages of the device.
static void FlushDeviceCache(const Napi::CallbackInfo &info) {
  if (ioctl(static_cast<int>(IntegerArgument(info, 0)), BLKFLSBUF, 0) < 0) {
    throw SyscallError(info.Env(), "ioctl(BLKFLSBUF)", errno);
  }
}

/// rereadPartitionTable(fd): makes the kernel look at the partition table again.
static void RereadPartitionTable(const Napi::CallbackInfo &info) {
  if (ioctl(static_cast<int>(IntegerArgument(info, 0)), BLKRRPART, 0) < 0) {
    throw SyscallError(info.Env(), "ioctl(BLKRRPART)", errno);
  }
}

void ExportBlockDevice(Napi::Env env, Napi::Object exports) {
  exports.Set("blockDeviceSize", Napi::Function::New(env, BlockDeviceSize));
  exports.Set("logicalSectorSize", Napi::Function::New(env, LogicalSectorSize));
  exports.Set("physicalSectorSize", Napi::Function::New(env, PhysicalSectorSize));
  exports.Set("blockDiscard", Napi::Function::New(env, BlockDiscard));
  exports.Set("blockZeroOut", Napi::Function::New(env, BlockZeroOut));
  exports.Set("flushDeviceCache", Napi::Function::New(env, FlushDeviceCache));
  exports.Set("rereadPartitionTable", Napi::Function::New(env, RereadPartitionTable));
}

}  // namespace ectype
