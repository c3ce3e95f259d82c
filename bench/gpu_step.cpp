// Training steps of GPT-2 Medium's shape on one GPU, on made-up tokens: tokens per second, memory,
// and where the time goes. Prints one JSON document. `--products` measures the products' shapes
// alone.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "harness/base/fd.h"
#include "trainer/device/cuda_kernels.h"
#include "trainer/device/device.h"
#include "trainer/kernels/timed_kernels.h"
#include "trainer/model/device_step.h"
#include "trainer/model/device_weights.h"
#include "trainer/optim/adamw.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

struct Options {
  std::string quantizer = "ternary", quantizers = BITLOOP_SOURCE_DIR "/quantizers";
  int64_t micro_batch = 64, micro_batches = 2, steps = 3, layers = 24, width = 1024, heads = 16;
  bool integer = false, int8_gradients = false, no_tuning = false, table = false, products = false,
       no_bias = false, varying = false;
};

template <typename T>
T value_of(Result<T> result) {
  if (result) return std::move(*result);
  fmt::print(stderr, "gpu_step: {}\n", result.error().message);
  std::exit(1);
}
void value_of(const Status& status) {
  if (status) return;
  fmt::print(stderr, "gpu_step: {}\n", status.error().message);
  std::exit(1);
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::unique_ptr<lua::Quantizer> load(const Options& options, at::Device device) {
  const std::string& name = options.quantizer;
  const std::string text = value_of(read_file(options.quantizers + "/" + name + ".lua"));
  return value_of(lua::Quantizer::load(text, name + ".lua", lua::Limits{}, device));
}

// Ids as text has them: few are frequent (Zipf).
at::Tensor made_up_ids(int64_t count, int64_t vocabulary, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform;
  const at::Tensor ids = at::empty({count}, at::kLong);
  for (int64_t i = 0; i < count; ++i)
    ids.data_ptr<int64_t>()[i] = std::min<int64_t>(
        vocabulary - 1, static_cast<int64_t>(
                            std::exp(uniform(random) * std::log(static_cast<double>(vocabulary)))) -
                            1);
  return ids;
}

// TFLOP/s of every product of a layer and of the head, and of a large square one: the card's limit.
json measure_products(kernels::DeviceKernels& device, const Options& options) {
  const int64_t R = options.micro_batch * 1024, D = options.width, V = 50304;
  struct Shape {
    std::string name;
    int64_t M, N, K;
    bool a_by_column, b_by_column, sum;
  };
  std::vector<Shape> shapes = {{"square_8192", 8192, 8192, 8192, false, true, false},
                               {"head", 16384, V, D, false, true, false},
                               {"head_dx", 16384, D, V, false, false, false},
                               {"head_dw", V, D, 16384, true, false, true}};
  for (const auto& [name, N, K] : {std::tuple{"qkv", 3 * D, D}, std::tuple{"proj", D, D},
                                   std::tuple{"fc", 4 * D, D}, std::tuple{"mlp", D, 4 * D}}) {
    shapes.push_back({name, R, N, K, false, true, false});
    shapes.push_back({std::string(name) + "_dx", R, K, N, false, false, false});
    shapes.push_back({std::string(name) + "_dw", N, K, R, true, false, true});
  }
  const auto random = [](int64_t a, int64_t b) {
    return at::randn({a, b}, at::TensorOptions().device(at::kCUDA).dtype(at::kBFloat16));
  };
  const auto bits = [](const at::Tensor& t) {
    return reinterpret_cast<kernels::Bf16*>(t.data_ptr<at::BFloat16>());
  };
  const auto timed = [&](const auto& work) {
    for (int i = 0; i < 2; ++i) work();
    device.wait();
    constexpr int kTimes = 10;
    const auto start = Clock::now();
    for (int i = 0; i < kTimes; ++i) work();
    device.wait();
    return seconds_since(start) / kTimes;
  };
  json table = json::object();
  for (const Shape& s : shapes) {
    const at::Tensor a = random(s.M, s.K), b = random(s.K, s.N);
    const at::Tensor out =
        s.sum ? at::zeros({s.M, s.N}, at::TensorOptions().device(at::kCUDA)) : random(s.M, s.N);
    kernels::DeviceProduct p{.M = s.M,
                             .N = s.N,
                             .K = s.K,
                             .a = bits(a),
                             .b = bits(b),
                             .a_by_column = s.a_by_column,
                             .b_by_column = s.b_by_column};
    if (s.sum)
      p.sum = out.data_ptr<float>(), p.adds = true;
    else
      p.out = bits(out);
    const double flop =
        2.0 * static_cast<double>(s.M) * static_cast<double>(s.N) * static_cast<double>(s.K);
    device.tune(!options.no_tuning);
    device.multiply(p);
    device.tune(false);
    table[s.name] = std::round(flop / timed([&] { device.multiply(p); }) / 1e11) / 10;
    if (s.sum || s.a_by_column || !s.b_by_column) continue;
    const at::Tensor x = at::randint(-127, 128, {s.M, s.K},
                                     at::TensorOptions().device(at::kCUDA).dtype(at::kChar)),
                     w = at::randint(-1, 2, {s.N, s.K},
                                     at::TensorOptions().device(at::kCUDA).dtype(at::kChar)),
                     xs = at::ones({s.M}, at::TensorOptions().device(at::kCUDA)),
                     ws = at::ones({1}, at::TensorOptions().device(at::kCUDA));
    if (!device.multiplies_integers(s.M, s.N, s.K)) continue;
    for (const bool adds : {false, true})
      table[s.name + (adds ? "_int8_adds" : "_int8")] =
          std::round(flop / timed([&] {
                       device.multiply(
                           kernels::DeviceIntegerProduct{.M = s.M,
                                                         .N = s.N,
                                                         .K = s.K,
                                                         .a = x.data_ptr<int8_t>(),
                                                         .b = w.data_ptr<int8_t>(),
                                                         .a_scale = xs.data_ptr<float>(),
                                                         .b_scale = ws.data_ptr<float>(),
                                                         .addend = adds ? bits(out) : nullptr,
                                                         .out = bits(out)});
                     }) /
                     1e11) /
          10;
  }
  return table;
}

json train(kernels::DeviceKernels& device, const Options& options) {
  const ModelConfig config{.vocab_size = 50257,
                           .padded_vocab_size = 50304,
                           .context = 1024,
                           .layers = options.layers,
                           .heads = options.heads,
                           .width = options.width,
                           .bias = !options.no_bias};
  Transformer model(config, false, 42);
  model.to(at::kCUDA);
  const auto quantizer = load(options, at::kCUDA), on_cpu = load(options, at::kCPU);
  ForwardContext context{.quantizer = quantizer.get(),
                         .total_steps = 1000,
                         .training = true,
                         .products = Products::kBfloat16};
  kernels::TimedKernels timed(device);
  DeviceTraining pass(model, options.micro_batch, timed, options.integer, options.int8_gradients);
  value_of(pass.capture(*on_cpu, context));
  std::vector<AdamW::Slot> slots;
  for (const auto& [name, tensor] : model.named_parameters())
    slots.push_back({tensor, 1.0, tensor.dim() >= 2 ? 0.1 : 0.0, name});
  AdamW optimizer(std::move(slots), TrainConfig{.beta1 = 0.9, .beta2 = 0.95, .grad_clip = 1.0});
  DeviceWeights weights(timed);
  value_of(weights.capture(model.bitlinears(), *on_cpu, context));
  context.weight_programs = &weights;
  value_of(model.quantize_weights(context));
  value_of(pass.warm(context, !options.no_tuning));
  const int64_t R = options.micro_batch * 1024;
  std::vector<std::pair<at::Tensor, at::Tensor>> batches;
  for (int64_t i = 0; i < options.micro_batches; ++i) {
    const at::Tensor ids = made_up_ids(R + 1, config.vocab_size, static_cast<uint64_t>(i));
    batches.emplace_back(ids.narrow(0, 0, R).contiguous().view({options.micro_batch, 1024}),
                         ids.narrow(0, 1, R).contiguous().view({options.micro_batch, 1024}));
  }
  json report = {{"quantizer", options.quantizer},
                 {"integer", options.integer},
                 {"int8_gradients", options.int8_gradients},
                 {"micro_batch", options.micro_batch},
                 {"losses", json::array()},
                 {"step_s", json::array()}};
  double quantise_s = 0, optimiser_s = 0, best = 1e9;
  for (int64_t step = 0; step <= options.steps; ++step) {
    const bool last = step == options.steps;  // for the table of kernels, where that is wanted
    if (last && !options.table) break;
    timed.set_timing(last);
    device.wait();
    const auto start = Clock::now();
    context.step = step;
    value_of(model.quantize_weights(context));
    value_of(pass.begin_step(context));
    device.wait();
    const double quantised = seconds_since(start);
    std::vector<at::Tensor> losses;
    for (const auto& [ids, targets] : batches)
      losses.push_back(value_of(pass.accumulate(ids, targets, context,
                                                1.0 / static_cast<double>(options.micro_batches))));
    const double loss = at::stack(losses).mean().item<double>();
    value_of(pass.end_step(context));
    device.wait();
    const double passed = seconds_since(start);
    model.finish_weight_gradients(context);
    const double norm = optimizer.step(3e-4);
    device.wait();
    const double whole = seconds_since(start);
    report["losses"].push_back(loss);
    report["gradient_norm"] = norm;
    if (last) break;
    report["step_s"].push_back(whole);
    quantise_s = quantised, optimiser_s = whole - passed;
    best = std::min(best, (passed - quantised) / static_cast<double>(options.micro_batches));
  }
  // A whole step has 524,288 tokens.
  const double micro_batches = 524288.0 / static_cast<double>(R);
  report["micro_batch_ms"] = best * 1e3;
  report["quantise_weights_ms"] = quantise_s * 1e3;
  report["optimiser_ms"] = optimiser_s * 1e3;
  report["tokens_per_s"] = 524288.0 / (best * micro_batches + quantise_s + optimiser_s);
  report["peak_memory_gb"] =
      static_cast<double>(device_peak_memory(at::Device(at::kCUDA, 0))) / 1e9;
  if (options.table) report["ms_by_kernel"] = timed.table();
  return report;
}

}  // namespace
}  // namespace bitloop::trainer

int main(int argc, char** argv) {
  using namespace bitloop::trainer;
  CLI::App app("Training steps of GPT-2 Medium's shape on one GPU");
  Options options;
  app.add_option("--quantizer", options.quantizer, "file in quantizers/, without .lua");
  app.add_option("--quantizers", options.quantizers, "folder of the files");
  app.add_option("--micro-batch", options.micro_batch, "sequences of 1,024 tokens");
  app.add_option("--micro-batches", options.micro_batches, "of a step");
  app.add_option("--steps", options.steps, "steps that are timed");
  app.add_option("--layers", options.layers);
  app.add_option("--width", options.width);
  app.add_option("--heads", options.heads);
  app.add_flag("--integer", options.integer, "forward products on int8");
  app.add_flag("--int8-gradients", options.int8_gradients,
               "with --integer: those that make inputs' gradients, too");
  app.add_flag("--no-tuning", options.no_tuning, "cuBLASLt's first choice of each product");
  app.add_flag("--no-bias", options.no_bias);
  app.add_flag("--table", options.table, "one more step, each kernel waited for");
  app.add_flag("--varying", options.varying,
               "attention's faster backward pass, other bits each time");
  app.add_flag("--products", options.products, "the products alone");
  CLI11_PARSE(app, argc, argv);
  value_of(open_device("cuda"));
  const auto device = value_of(open_cuda_kernels());
  device->set_deterministic(!options.varying);
  json report = options.products ? measure_products(*device, options) : train(*device, options);
  report["device"] = device_name(at::Device(at::kCUDA, 0));
  if (const std::string failed = device->error(); !failed.empty()) report["error"] = failed;
  fmt::print("{}\n", report.dump());
  return 0;
}
