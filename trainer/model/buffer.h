// Memory of the fused training step.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>

namespace bitloop::trainer {

// Memory that is allocated once, aligned to a cache line.
template <typename T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t n)
      : data_(static_cast<T*>(
            std::aligned_alloc(64, (static_cast<size_t>(n) * sizeof(T) + 63) / 64 * 64))) {}
  T* get() const { return data_.get(); }
  T* operator+(int64_t i) const { return data_.get() + i; }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> data_;
};

}  // namespace bitloop::trainer
