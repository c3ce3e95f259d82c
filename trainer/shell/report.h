// What a quantizer makes of one tensor: through the same calls as training (quantize_weight,
// quantize_activation), measured, and as text. Legend: N output features, K input features, R rows.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>

#include "harness/base/result.h"
#include "lua/quantizer/quantizer.h"
#include "trainer/model/quantize.h"

namespace bitloop::trainer::shell {

struct Report {
  std::string title;    // "ternary: weight (256, 256)"
  at::Tensor input;     // what the codes stand for: (N, K) or (R, K), after Q.input and Q.transform
  Operand operand;      // codes, scale, value, …; codes are undefined for a float side
  at::Tensor row_bias;  // (N) or undefined
  bool weight = true;   // false: an activation
  double bits = 32;     // a weight, everything stored counted; or of an activation's code
  double error = 0;     // ||input - value|| / ||input||, 0 where both are 0
  double mse = 0;       // mean of the squared difference
  double snr_db = 0;    // -20 log10(error); infinite without an error
  std::optional<double> zero_share;  // of the codes; none with a codebook
  std::optional<int64_t> entries;    // of a codebook: codes are places in it
};

// w (N, K) as the weight of a layer of its own: Q.init, Q.transform, weight_quant, Q.row_bias, as a
// score would (lambda 1, not training, at the end of training). Errors: those of quantize_weight.
Result<Report> measure_weight(lua::Quantizer& quantizer, const at::Tensor& w_NK);
// x (R, K) as the input of a layer whose weight is `w_NK` (what Q.init sees): Q.input, Q.transform,
// activation_quant.
Result<Report> measure_activation(lua::Quantizer& quantizer, const at::Tensor& x_RK,
                                  const at::Tensor& w_NK);
// What weight_quant returned for w, where the function is not a file's but one written in the
// shell.
Result<Report> measure_returned(const lua::Quantized& returned, const lua::Format& format,
                                const at::Tensor& w_NK);

// Several lines: bits, error, scales, the codes' and the values' histograms.
std::string report_text(const Report& report);

}  // namespace bitloop::trainer::shell
