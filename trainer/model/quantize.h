// From what a quantizer returned to what the layer computes with. This is the only place where a
// value is made, and the candidate never hands one over: value = codes * scale (+ offset), or
// codebook[codes] (design section 3).
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "harness/base/result.h"
#include "lua/quantizer/quantizer.h"

namespace bitloop::trainer {

// One side of a linear layer's product, quantised: weights (N, K) or activations (R, K).
struct Operand {
  at::Tensor value;  // float32, no graph: codes * scale (+ offset), or the entries of the codebook;
                     // of some integer forms made by materialise_value only
  at::Tensor codes;  // float32, snapped to levels; undefined when the side is not quantised
  at::Tensor scale;  // float32 after rounding to scale_dtype: 0-d, (N,1), (N,groups), (flat
                     // groups,1) or (1,K)
  at::Tensor offset;       // like scale, or undefined
  at::Tensor codebook;     // (N, blocks, entries) or undefined
  at::Tensor surrogate;    // value's shape, with graph; undefined: straight-through
  int64_t flat_group = 0;  // weights under flat_groups: scales run over the flattened tensor, so
                           // many weights each; 0: not
  // The exact integer form, where there is one: value = codes_int8 * int8_scale, one scale for all
  // or one a row.
  at::Tensor codes_int8;
  at::Tensor int8_scale;  // (1) or (rows), float32
  int factor = 1;         // codes_int8 = codes * factor
  int64_t stored_numbers =
      0;  // scales + offsets + codebook entries, each stored at scale_dtype's width
};

// The side as it is: no codes, the value is the tensor.
inline Operand float_operand(const at::Tensor& tensor) {
  Operand operand;
  operand.value = tensor.detach();
  return operand;
}

// Checks the shapes and values that a quantising function returned against its declared format, and
// makes the operand. Errors: "script_error" for a wrong shape, "rejected" for forbidden content
// (off-level codes, too fine or non-finite scales), "diverged" when the tensor that was quantised
// is not finite itself; messages name the function and the layer, and say what was expected.
Result<Operand> make_weight_operand(const lua::Quantized& returned, const at::Tensor& w_NK,
                                    const lua::Format& format, const std::string& layer_name);
// The same of codes that were packed already (pack_levels): `returned` has no codes, the operand
// has its integer form alone until materialise_value.
Result<Operand> packed_weight_operand(const lua::Quantized& returned, const at::Tensor& codes_int8,
                                      int factor, const at::Tensor& w_NK, const lua::Format& format,
                                      const std::string& layer_name);
// The same of what a packed file has beside its codes, which stay there: `returned` has a scale
// (and offset), or a codebook. The operand has neither codes nor a value.
Result<Operand> stored_weight_operand(const lua::Quantized& returned, const at::Tensor& w_NK,
                                      const lua::Format& format, const std::string& layer_name);
// How levels become integers: factor 0 where they don't, or are too many for one walk.
struct PackedLevels {
  int factor = 0;
  std::vector<float> levels;
  std::vector<int8_t> integers;
};
PackedLevels pack_levels(const lua::Format& format);
// Codes and value of an activation operand are left undefined where the integer form exists;
// materialise_value makes them.
Result<Operand> make_activation_operand(const lua::Quantized& returned, const at::Tensor& x_RK,
                                        const lua::Format& format, const std::string& layer_name);
// The scales of an activation as they are stored and used: rounded to scale_dtype; "rejected" where
// one is not finite.
Result<at::Tensor> stored_activation_scale(const at::Tensor& scale, const lua::Format& format,
                                           const std::string& layer_name);
// Computes operand.codes and operand.value if they are not there yet; `like` is the tensor that was
// quantised.
void materialise_value(Operand& operand, const at::Tensor& like, const lua::Format& format);

}  // namespace bitloop::trainer
