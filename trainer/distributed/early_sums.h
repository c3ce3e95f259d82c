// The sums over the ranks that begin while the last backward pass of a step still runs: groups of
// gradients, one after the other, as each becomes whole. A rank whose pass fails hands over its
// gradients all the same, worth nothing, and says where all meet that it failed: no other waits for
// it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <unordered_set>
#include <vector>

#include "trainer/distributed/ranks.h"

namespace bitloop::trainer {

class EarlySums {
 public:
  // The same number of groups, of the same shapes, on every rank. `ranks` must outlive it.
  EarlySums(Ranks& ranks, std::vector<std::vector<at::Tensor>> groups);

  // Group `i` is whole, and so are all before it.
  void begin(size_t i);
  // Begins what has not begun, and waits until all are sums. Errors: "infrastructure", or what
  // ended them here.
  Status finish();
  // Whether this gradient is one of them.
  bool has(const at::Tensor& gradient) const {
    return in_a_group_.contains(gradient.unsafeGetTensorImpl());
  }

 private:
  Ranks* ranks_;
  std::vector<std::vector<at::Tensor>> groups_;
  std::unordered_set<const at::TensorImpl*> in_a_group_;
  size_t begun_ = 0;
  Status failed_;  // the first that could not begin
};

}  // namespace bitloop::trainer
