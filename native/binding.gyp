{
  "targets": [
    {
      "target_name": "ectype_native",
      "sources": [
        "addon.cc", "memory.cc", "block-device.cc", "file-space.cc", "freeze.cc", "locks.cc"
      ],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "dependencies": ["<!(node -p \"require('node-addon-api').targets\"):node_addon_api_except"],
      "cflags_cc": ["-std=c++17", "-O2", "-Wall", "-Wextra"],
      # A worker that is ended while it loads the addon cannot be told of errors any more: not a reason to abort the process.
      "defines": ["_FILE_OFFSET_BITS=64", "_GNU_SOURCE", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"]
    }
  ]
}
