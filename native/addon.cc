// The addon's entry: one function a system call that Node.js itself does not offer. No policy lives here.
#include "syscall.h"

#include <string>

namespace ectype {

Napi::Error SyscallError(Napi::Env env, const char *syscall, int error_number) {
  const char *name = strerrorname_np(error_number);
  Napi::Error error = Napi::Error::New(env, std::string(syscall) + ": " + strerror(error_number));
  error.Set("code", Napi::String::New(env, name != nullptr ? name : "EUNKNOWN"));
  error.Set("errno", Napi::Number::New(env, error_number));
  error.Set("syscall", Napi::String::New(env, syscall));
  return error;
}

int64_t IntegerArgument(const Napi::CallbackInfo &info, size_t index) {
  if (info.Length() <= index || !info[index].IsNumber()) {
    throw Napi::TypeError::New(info.Env(), "argument " + std::to_string(index) + " is not a number");
  }
  const int64_t value = info[index].As<Napi::Number>().Int64Value();
  if (value < 0) {
    throw Napi::RangeError::New(info.Env(), "argument " + std::to_string(index) + " is negative");
  }
  return value;
}

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  ExportMemory(env, exports);
  ExportBlockDevice(env, exports);
  ExportFileSpace(env, exports);
  ExportFreeze(env, exports);
  ExportLocks(env, exports);
  return exports;
}

NODE_API_MODULE(ectype_native, Init)

}  // namespace ectype
