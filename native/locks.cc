// flock(2): locks that end with the process that holds them.
#include "syscall.h"

#include <sys/file.h>

namespace ectype {

/// tryLock(fd, exclusive): true if the lock is ours now, false if somebody else holds it.
static Napi::Value TryLock(const Napi::CallbackInfo &info) {
  const int fd = static_cast<int>(IntegerArgument(info, 0));
  const bool exclusive = info.Length() > 1 && info[1].ToBoolean().Value();
  if (flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0) return Napi::Boolean::New(info.Env(), true);
  if (errno == EWOULDBLOCK) return Napi::Boolean::New(info.Env(), false);
  throw SyscallError(info.Env(), "flock", errno);
}

void ExportLocks(Napi::Env env, Napi::Object exports) { exports.Set("tryLock", Napi::Function::New(env, TryLock)); }

}  // namespace ectype
