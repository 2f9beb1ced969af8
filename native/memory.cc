// Memory for direct I/O: aligned to 2 MiB and offered to the kernel as huge pages.
#include "syscall.h"

#include <sys/mman.h>

namespace ectype {

static constexpr size_t kAlignment = 2 * 1024 * 1024;

/// allocateAligned(length): an ArrayBuffer of `length` bytes whose first byte lies on a 2 MiB boundary.
/// Huge pages are a wish, not a demand: madvise may fail where the kernel has none, and the memory is as good.
static Napi::Value AllocateAligned(const Napi::CallbackInfo &info) {
  const size_t length = static_cast<size_t>(IntegerArgument(info, 0));
  const size_t mapped = ((length + kAlignment - 1) / kAlignment) * kAlignment + kAlignment;
  void *base = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) throw SyscallError(info.Env(), "mmap", errno);
  const uintptr_t address = reinterpret_cast<uintptr_t>(base);
  void *aligned = reinterpret_cast<void *>((address + kAlignment - 1) / kAlignment * kAlignment);
  if (length >= kAlignment) madvise(aligned, length, MADV_HUGEPAGE);
  return Napi::ArrayBuffer::New(info.Env(), aligned, length,
                                [base, mapped](Napi::Env, void *) { munmap(base, mapped); });
}

void ExportMemory(Napi::Env env, Napi::Object exports) {
  exports.Set("allocateAligned", Napi::Function::New(env, AllocateAligned));
}

}  // namespace ectype
