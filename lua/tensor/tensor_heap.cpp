#include "lua/tensor/tensor_heap.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>

#include "lua/tensor/registry.h"

namespace bitloop::lua {

namespace {

constexpr size_t kCollectEvery = 32u << 20;  // bytes of new tensors between two collections

}  // namespace

const char kTensorMetatable = 0;

TensorHeap::TensorHeap(Guest& guest, at::Device device) : guest_(guest), device_(device) {
  guest.tensors = this;
  guest.registry = std::make_shared<Registry>();
  guest.registry->guest = &guest;
}

TensorHeap::~TensorHeap() {
  guest_.registry->guest = nullptr;
  release_since(0);
  guest_.tensors = nullptr;
}

void TensorHeap::push(lua_State* L, at::Tensor value, bool external) {
  auto* tensor = static_cast<LuaTensor*>(lua_newuserdatauv(L, sizeof(LuaTensor), 0));
  new (tensor) LuaTensor{};  // no metatable yet: the collector does not know it, so an error below
                             // leaks nothing
  tensor->storage = value.has_storage() ? value.storage().unsafeGetStorageImpl() : nullptr;
  if (tensor->storage) {
    Storage& storage = storages_[tensor->storage];
    if (storage.users++ == 0 && !external && !value.is_meta()) {  // those take no memory
      storage.bytes = value.storage().nbytes();
      live_bytes_ += storage.bytes;
      bytes_since_collection_ += storage.bytes;
    }
  }
  tensor->value = std::move(value);
  tensor->id = ++last_id_;
  tensor->previous = newest_;
  if (newest_) newest_->next = tensor;
  newest_ = tensor;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &kTensorMetatable);
  lua_setmetatable(L, -2);
  // What an operation's own estimate missed is seen here, after the fact.
  if (live_bytes_ > guest_.limits().tensor_bytes) reserve(L, 0);
  if (bytes_since_collection_ > std::max(kCollectEvery, live_bytes_ / 2)) {
    lua_gc(L, LUA_GCCOLLECT);
    bytes_since_collection_ = 0;
  }
}

const at::Tensor* TensorHeap::find(lua_State* L, int index) const {
  if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index)) return nullptr;
  const bool is_tensor = lua_topointer(L, -1) == metatable;
  lua_pop(L, 1);
  if (!is_tensor) return nullptr;
  const auto* tensor = static_cast<const LuaTensor*>(lua_touserdata(L, index));
  if (!tensor->value.defined()) {
    raise(L, "this tensor belongs to an earlier call; what a layer remembers lives in ctx.state");
  }
  return &tensor->value;
}

void TensorHeap::reserve(lua_State* L, double bytes) {
  const auto limit = static_cast<double>(guest_.limits().tensor_bytes);
  if (static_cast<double>(live_bytes_) + bytes <= limit) return;
  if (bytes <= limit) {
    lua_gc(L, LUA_GCCOLLECT);
    bytes_since_collection_ = 0;
    if (static_cast<double>(live_bytes_) + bytes <= limit) return;
  }
  guest_.trip(
      L, Trip::kMemory,
      fmt::format("out of tensor memory: {:.4g} MiB more are needed, tensors hold {} MiB and may "
                  "hold {} MiB",
                  bytes / (1 << 20), live_bytes_ >> 20, guest_.limits().tensor_bytes >> 20));
}

void TensorHeap::release(LuaTensor& tensor) {
  if (!tensor.value.defined()) return;
  if (tensor.storage) {
    auto storage = storages_.find(tensor.storage);
    if (--storage->second.users == 0) {
      live_bytes_ -= storage->second.bytes;
      storages_.erase(storage);
    }
  }
  if (tensor.previous) tensor.previous->next = tensor.next;
  (tensor.next ? tensor.next->previous : newest_) = tensor.previous;
  tensor.value = at::Tensor();
}

void TensorHeap::release_since(uint64_t mark) {
  while (newest_ && newest_->id > mark) release(*newest_);
}

int TensorHeap::collect(lua_State* L) {
  auto* tensor = static_cast<LuaTensor*>(lua_touserdata(L, 1));
  of(L).release(*tensor);
  return 0;
}

}  // namespace bitloop::lua
