// The tensors of one Lua state: the userdata bitloop.Tensor and its bytes. All are on one device.
// Each storage is counted once however many views Lua holds of it; storages handed in by C++ are
// not counted. When a call ends, the tensors it made are released.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <unordered_map>

#include "lua/runtime/guest.h"

namespace bitloop::lua {

class Tracer;

// What a tensor userdata holds. `value` is undefined once released.
struct LuaTensor {
  at::Tensor value;
  const void* storage = nullptr;
  uint64_t id = 0;  // ascending
  LuaTensor* previous = nullptr;
  LuaTensor* next = nullptr;
};

class TensorHeap {
 public:
  // `device`: where its tensors are.
  explicit TensorHeap(Guest& guest, at::Device device = at::kCPU);
  ~TensorHeap();
  TensorHeap(const TensorHeap&) = delete;
  TensorHeap& operator=(const TensorHeap&) = delete;

  static TensorHeap& of(lua_State* L) { return *Guest::of(L).tensors; }

  // Pushes a tensor userdata. `external`: its storage belongs to C++ and is not counted.
  void push(lua_State* L, at::Tensor value, bool external = false);
  // The tensor at `index`, null when it is none. Raises when it was released.
  const at::Tensor* find(lua_State* L, int index) const;
  // Raises out of memory (and trips) unless `bytes` more fit; collects garbage first when that may
  // help.
  void reserve(lua_State* L, double bytes);

  at::Device device() const { return device_; }
  size_t live_bytes() const { return live_bytes_; }
  // Marks a place in time; release_since(mark) frees the tensors pushed after it, and 0 frees all.
  uint64_t mark() const { return last_id_; }
  void release_since(uint64_t mark);
  // Set by bitloop.autograd: its backward functions may still need tensors of this call.
  bool keep_alive = false;

  // Set while a call is recorded (lua/capture): every operation then tells it what it did.
  Tracer* tracer = nullptr;

  static int collect(lua_State* L);  // __gc
  // The metatable, pushed by install_tensors; compared by address.
  const void* metatable = nullptr;

 private:
  struct Storage {
    int64_t users = 0;
    size_t bytes = 0;
  };
  void release(LuaTensor& tensor);

  Guest& guest_;
  const at::Device device_;
  LuaTensor* newest_ = nullptr;
  uint64_t last_id_ = 0;
  std::unordered_map<const void*, Storage> storages_;
  size_t live_bytes_ = 0;
  size_t bytes_since_collection_ = 0;
};

// The registry key of the metatable.
extern const char kTensorMetatable;

}  // namespace bitloop::lua
