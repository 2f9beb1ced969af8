// Mounted file systems as a whole: freezing and thawing (linux/fs.h), and writing back what is dirty (syncfs(2)).
#include "syscall.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace ectype {

/// freezeFilesystem(fd): everything dirty is on the medium afterwards, and whoever writes waits until the thaw.
static void FreezeFilesystem(const Napi::CallbackInfo &info) {
  if (ioctl(static_cast<int>(IntegerArgument(info, 0)), FIFREEZE, 0) < 0) {
    throw SyscallError(info.Env(), "ioctl(FIFREEZE)", errno);
  }
}

/// thawFilesystem(fd): EINVAL if it is not frozen.
static void ThawFilesystem(const Napi::CallbackInfo &info) {
  if (ioctl(static_cast<int>(IntegerArgument(info, 0)), FITHAW, 0) < 0) {
    throw SyscallError(info.Env(), "ioctl(FITHAW)", errno);
  }
}

/// syncFilesystem(fd): writes back what is dirty in the file system that holds the file.
static void SyncFilesystem(const Napi::CallbackInfo &info) {
  if (syncfs(static_cast<int>(IntegerArgument(info, 0))) < 0) throw SyscallError(info.Env(), "syncfs", errno);
}

void ExportFreeze(Napi::Env env, Napi::Object exports) {
  exports.Set("freezeFilesystem", Napi::Function::New(env, FreezeFilesystem));
  exports.Set("thawFilesystem", Napi::Function::New(env, ThawFilesystem));
  exports.Set("syncFilesystem", Napi::Function::New(env, SyncFilesystem));
}

}  // namespace ectype
