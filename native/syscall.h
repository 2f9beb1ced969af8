// What every file of the addon shares: turning a failed system call into a JavaScript error.
// Invariant: the errno reaches JavaScript unchanged, as `code` ("EBUSY"), `errno` (positive) and `syscall`.
#pragma once
#include <napi.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

namespace ectype {

/// An Error with `code`, `errno` and `syscall`; throw it from the binding function.
Napi::Error SyscallError(Napi::Env env, const char *syscall, int error_number);

/// A non-negative integer argument (a file descriptor, offset or length in bytes).
int64_t IntegerArgument(const Napi::CallbackInfo &info, size_t index);

void ExportMemory(Napi::Env env, Napi::Object exports);
void ExportBlockDevice(Napi::Env env, Napi::Object exports);
void ExportFileSpace(Napi::Env env, Napi::Object exports);
void ExportFreeze(Napi::Env env, Napi::Object exports);
void ExportLocks(Napi::Env env, Napi::Object exports);

}  // namespace ectype
