// Q.regularizer of all layers, once a step: its sum, and its gradient added to the layers' weights
// and parameters.
//
// On this processor it is run as a program where it can be captured (design section 4): one walk
// over weights and values makes the number and the gradient. The function is recorded on tensors
// without numbers, which costs little, or where that can't be done on the layer's own: once for all
// layers of the same shapes where it doesn't read ctx.layer, and once a step where it reads
// ctx.step. Each program that is not the last one with other constants is compared with autograd
// there and then. What can't be captured, or did not agree, goes through autograd, and why is kept.
//
// Which of the two it is follows from the function, the step and the shapes, never from steps
// before: a run that goes on from a checkpoint has the same bits.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "trainer/model/bitlinear.h"

namespace bitloop::trainer {

class Regularizers {
 public:
  // Of the weights as they are used in this step, after finish_weight_gradient. Errors:
  // "diverged" where the sum is not finite, and the function's own; after either, gradients are
  // worth nothing. Requires: has("regularizer"), quantised weights.
  Status add_gradients(std::span<BitLinear* const> layers, const ForwardContext& context);

  // Why this layer's goes through autograd; empty where it has a program, or was not met yet.
  std::string why_eager(const BitLinear& layer) const;

 private:
  struct Program {
    std::string reason;  // why there is none; "": there is one
    std::shared_ptr<const lua::Graph> graph;
    lua::Graph gradient;
    lua::LoweredProgram lowered;  // dL/dw, and the number
    int64_t step = -1;            // that it was recorded at
    bool reads_step = false;      // so it holds for that step alone
    bool compared = false;
  };
  // Which layers share a program: those of the same shapes, or one alone.
  struct Key {
    std::string layer;
    std::vector<int64_t> weight;
    std::map<std::string, std::vector<int64_t>> params, state;
    auto operator<=>(const Key&) const = default;
  };
  Key key_of(const BitLinear& layer) const;
  // The program of this layer at this step; null where it has none. An Error is the function's own.
  Result<Program*> program_of(BitLinear& layer, const ForwardContext& context);
  // Whether the recording read ctx.layer.
  static bool record(Program& program, BitLinear& layer, const ForwardContext& context);
  // Runs it: the number. Its gradient is added to `gradient` (N, K), contiguous.
  static double run(const Program& program, const BitLinear& layer, const at::Tensor& w_NK,
                    const at::Tensor& value_NK, const at::Tensor& gradient);
  // Whether it does what the function does; an Error is the function's own.
  static Result<bool> agrees(const Program& program, BitLinear& layer,
                             const ForwardContext& context);

  std::map<Key, Program> programs_;
  bool reads_layer_ = false;  // each layer has its own
};

}  // namespace bitloop::trainer
