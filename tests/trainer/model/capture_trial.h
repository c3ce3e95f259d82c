// weight_quant of a file made of a few lines, and its capture.
#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <memory>
#include <string>

#include "tests/trainer/fixture.h"
#include "trainer/model/capture.h"

namespace bitloop::trainer {

inline at::Tensor normal(at::IntArrayRef shape, uint64_t seed) {
  return at::empty(shape, at::kFloat).normal_(0, 0.5, at::detail::createCPUGenerator(seed));
}

inline std::string file_of(const std::string& body, const std::string& fields = "levels = {-1, 0, 1}") {
  return "local Q = {" + fields + "}\nfunction Q.weight_quant(w, ctx)\n" + body +
         "\nend\nreturn Q\n";
}

// Captures weight_quant of a file on w.
struct Trial {
  std::unique_ptr<lua::Quantizer> quantizer;
  NamedTensorMap params, state;
  lua::Layer layer{.name = "l", .kind = "mlp_fc", .in_features = 1, .out_features = 1};
  Capture capture;
  at::Tensor w;

  QuantizingFunction function() {
    return [this](const at::Tensor& x, lua::Recording* recording) {
      return quantizer->weight_quant(
          x, {.step = 3, .total_steps = 9, .layer = &layer, .params = &params, .state = &state},
          recording);
    };
  }
  Status run() { return try_capture(capture, function(), w, params, state); }
};

inline Trial trial(const std::string& lua, at::IntArrayRef shape = {24, 40}) {
  Trial made;
  made.quantizer = quantizer_from(lua);
  made.w = normal(shape, 7);
  return made;
}

}  // namespace bitloop::trainer
