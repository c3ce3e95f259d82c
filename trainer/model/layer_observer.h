// For probes: to look at, or to change, what each linear layer gives.
#pragma once

#include "trainer/model/bitlinear.h"

namespace bitloop::trainer {

class LayerObserver {
 public:
  virtual ~LayerObserver() = default;
  // y (R, N), which may be replaced, is what bitlinear_forward returns.
  virtual void see(const BitLinear& layer, at::Tensor& y_RN) = 0;
};

// Asked by bitlinear_forward in this thread; null: nobody looks.
inline thread_local LayerObserver* layer_observer = nullptr;

// Puts an observer in place for as long as it lives.
class Observing {
 public:
  explicit Observing(LayerObserver& observer) { layer_observer = &observer; }
  ~Observing() { layer_observer = nullptr; }
  Observing(const Observing&) = delete;
  Observing& operator=(const Observing&) = delete;
};

}  // namespace bitloop::trainer
