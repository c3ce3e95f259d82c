#include "trainer/model/token_step.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <exception>
#include <mutex>
#include <span>
#include <utility>

#include "trainer/kernels/codes.h"
#include "trainer/kernels/decode_attention.h"
#include "trainer/kernels/gelu.h"
#include "trainer/kernels/prefetch.h"
#include "trainer/kernels/rotary.h"
#include "trainer/kernels/swiglu.h"
#include "trainer/model/candidate.h"
#include "trainer/model/layer_observer.h"

namespace bitloop::trainer {
namespace {

// Numbers of both signs and many sizes, the same ones always.
at::Tensor some_rows(int64_t K) {
  const at::Tensor i = at::arange(K, at::kFloat),
                   row = at::sin(i * 0.7) * at::exp(at::cos(i * 0.11) * 2);
  return at::stack({row, row.flip(0) * 1e-4, row * 1e3, at::cos(i * 1.3) * 0.02, row * 0.0});
}

bool quantises_activations(const BitLinear& layer, const ForwardContext& context) {
  return layer.quantized && context.quantizer != nullptr &&
         context.quantizer->format().quantizes_activations;
}

bool may_serve(const ForwardContext& context) {
  if (!context.as_stored || context.training || context.lambda != 1.0 || context.guard != nullptr ||
      context.products == Products::kBfloat16)
    return false;
  if (context.quantizer == nullptr) return true;
  const lua::Format& format = context.quantizer->format();
  return !context.quantizer->has("input") && format.hadamard_block == 0 && !format.blend_output &&
         (!format.quantizes_activations || format.activation_bits <= 8);
}

std::span<const BitLinear> one(const BitLinear& layer) { return {&layer, 1}; }

}  // namespace

Result<bool> TokenStep::add(BitLinear& layer, float* y, std::vector<Linear>& to) {
  Linear linear{.product = layer.product,
                .row = layer.product ? layer.product->row_product() : nullptr,
                .quantise = {},
                .bias = layer.bias,
                .N = layer.layer.out_features,
                .y = y};
  if (!linear.row) return false;
  if (layer.row_bias.defined())
    linear.bias = linear.bias.defined() ? linear.bias + layer.row_bias : layer.row_bias;
  if (linear.bias.defined()) linear.bias = linear.bias.detach().contiguous();
  if (quantises_activations(layer, context_)) {
    BITLOOP_ASSIGN(program, capture_exactly(
                                [&](const at::Tensor& x, lua::Recording* recording) {
                                  return context_.quantizer->activation_quant(
                                      x, activation_context(layer, context_), recording);
                                },
                                some_rows(layer.layer.in_features), layer.params, layer.state));
    if (!program) return false;
    linear.quantise = std::move(program);
  }
  to.push_back(std::move(linear));
  return true;
}

std::unique_ptr<TokenStep> TokenStep::make(Transformer& model, const ForwardContext& context) {
  if (!may_serve(context)) return nullptr;
  const ModelConfig& config = model.config();
  const int64_t D = config.width, F = config.hidden_width(), L = config.layers,
                C = D + 2 * config.key_heads() * (D / config.heads);
  if (D % 16 != 0 && model.ln_f_.bias.defined()) return nullptr;  // normalise_row
  std::unique_ptr<TokenStep> made(new TokenStep);
  made->context_ = context;
  const bool two = model.blocks_.front().fc.size() == 2;
  for (const auto& [row, size] : {std::pair{&made->qkv_, C},
                                  {&made->turned_, C},
                                  {&made->attended_, D},
                                  {&made->hidden_, two ? 3 * F : 2 * F},
                                  {&made->fed_, D},
                                  {&made->values_, std::max(D, F)}})
    row->resize(static_cast<size_t>(size));
  made->codes_.resize(static_cast<size_t>(std::max(D, F)));
  // A function that fails on numbers of ours may not on others.
  const auto add = [&](std::span<BitLinear> layers, float* y, std::vector<Linear>& to) {
    return std::ranges::all_of(layers, [&](BitLinear& layer) {
      const auto added = made->add(layer, y, to);
      y += layer.layer.out_features;
      return added && *added;
    });
  };
  made->blocks_.resize(static_cast<size_t>(L));
  for (size_t i = 0; i < made->blocks_.size(); ++i) {
    Block& block = model.blocks_[i];
    Layers& layers = made->blocks_[i];
    if (!add(block.qkv, made->qkv_.data(), layers.qkv) ||
        !add({&block.attn_proj, 1}, made->fed_.data(), layers.attn_proj) ||
        !add(block.fc, made->hidden_.data(), layers.fc) ||
        !add({&block.mlp_proj, 1}, made->fed_.data(), layers.mlp_proj))
      return nullptr;
  }
  return made;
}

bool TokenStep::serves(const Transformer& model, const ForwardContext& context) const {
  if (!may_serve(context) || layer_observer != nullptr || at::GradMode::is_enabled() ||
      context.quantizer != context_.quantizer || context.step != context_.step ||
      context.total_steps != context_.total_steps)
    return false;
  const auto same = [](std::span<const BitLinear> layers, const std::vector<Linear>& linears) {
    return std::ranges::equal(layers, linears, {}, &BitLinear::product, &Linear::product);
  };
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const Block& block = model.blocks_[i];
    const Layers& layers = blocks_[i];
    if (!same(block.qkv, layers.qkv) || !same(one(block.attn_proj), layers.attn_proj) ||
        !same(block.fc, layers.fc) || !same(one(block.mlp_proj), layers.mlp_proj))
      return false;
  }
  return true;
}

// What a layer reads: x (K), or what activation_quant makes of it.
bool TokenStep::hand_over(const BitLinear& layer, Linear& linear, const float* x) {
  if (!linear.quantise) {
    linear.row->take(x);
    return true;
  }
  const lua::Format& format = context_.quantizer->format();
  const int64_t K = layer.layer.in_features;
  const int high = (1 << (format.activation_bits - 1)) - 1;
  bool good = true;
  const at::Tensor scale = linear.quantise->stream(
      1, K, [=](int64_t, int64_t, float* out) { std::copy_n(x, K, out); },
      [&](int64_t, int64_t, const float* codes, const float*) {
        good = kernels::pack_int8_run(codes, K, 1.0f, -high - 1, high, codes_.data());
      },
      layer.params, layer.state);
  float stored = *scale.const_data_ptr<float>();
  if (!good || !kernels::round_stored(&stored, 1, format.scale_dtype == at::kHalf, &stored))
    return false;
  if (linear.product->takes_integers()) {
    linear.row->take(codes_.data(), stored);
    return true;
  }
  for (int64_t k = 0; k < K; ++k)
    values_[static_cast<size_t>(k)] = static_cast<float>(codes_[static_cast<size_t>(k)]) * stored;
  linear.row->take(values_.data());
  return true;
}

int64_t TokenStep::parts_of(const std::vector<Linear>& layers) {
  int64_t parts = 0;
  for (const Linear& layer : layers) parts += layer.parts();
  return parts;
}

// body(layer, begin, end): outputs that are some parts of layers that read the same row, which are
// counted through all of them.
template <typename Body>
void TokenStep::for_outputs(const std::vector<Linear>& layers, kernels::Range run,
                            const Body& body) {
  int64_t first = 0;  // of the layer's parts
  for (const Linear& layer : layers) {
    const int64_t some = layer.row->part_rows(), parts = layer.parts();
    const int64_t begin = std::clamp<int64_t>(run.begin - first, 0, parts) * some,
                  end = std::min(layer.N, std::clamp<int64_t>(run.end - first, 0, parts) * some);
    if (begin < end) body(layer, begin, end);
    first += parts;
  }
}

void TokenStep::make_outputs(const std::vector<Linear>& layers, int64_t t,
                             kernels::Shares& shares) {
  const auto make = [&](const Linear& layer, int64_t begin, int64_t end) {
    layer.row->make(begin, end, layer.bias.defined() ? layer.bias.const_data_ptr<float>() : nullptr,
                    layer.y + begin);
  };
  for_outputs(layers, shares.first(t), make);
  for (kernels::Range run = shares.take(); !run.empty(); run = shares.take())
    for_outputs(layers, run, make);
}

// One token on its way through the blocks.
struct TokenStep::Run {
  TokenStep& step;
  Transformer& model;
  const at::Tensor& x_1D;
  KeyValueCache& cache;
  const std::optional<Rotary::Angles>& angles;
  kernels::Barrier barrier;
  std::deque<kernels::Shares> shares;    // of each product
  std::atomic<size_t> ready = SIZE_MAX;  // the product whose row was handed over last
  std::atomic<bool> failed = false;      // the rest is left out then
  std::mutex throwing;
  std::exception_ptr thrown;  // the first

  // Whoever fails still comes to the barrier, where the others wait.
  template <typename Work>
  void guarded(const Work& work) {
    if (failed) return;
    try {
      work();
    } catch (...) {
      const std::lock_guard lock(throwing);
      if (!thrown) thrown = std::current_exception();
      failed = true;
    }
  }

  // A product. Its row is made by one thread, while the others ask for what they will read of the
  // weight, since memory should never wait; then all of them make its outputs.
  template <typename Work>
  void multiply(int64_t t, const std::vector<Linear>& linears, size_t product, const Work& work) {
    if (t == 0) {
      guarded([&] {
        if (!work()) failed = true;
      });
      ready.store(product, std::memory_order_release);
    } else {
      for_outputs(
          linears, shares[product].first(t), [&](const Linear& layer, int64_t begin, int64_t end) {
            const std::span<const uint8_t> bytes = layer.row->reads(begin, end);
            constexpr size_t kSome = 2048;
            for (size_t i = 0; i < bytes.size() && ready.load(std::memory_order_acquire) != product;
                 i += kSome)
              kernels::ask_for(bytes.subspan(i, std::min(kSome, bytes.size() - i)));
          });
    }
    barrier.wait();
    guarded([&] { make_outputs(linears, t, shares[product]); });
    barrier.wait();
  }
  bool hand_over(std::span<const BitLinear> layers, std::vector<Linear>& linears, const float* x) {
    for (size_t i = 0; i < linears.size(); ++i)
      if (!step.hand_over(layers[i], linears[i], x)) return false;
    return true;
  }

  void add(const std::vector<float>& row) const {
    float* x = x_1D.data_ptr<float>();
    for (size_t i = 0; i < row.size(); ++i) x[i] += row[i];
  }
  bool normalised(std::span<const BitLinear> layers, std::vector<Linear>& linears,
                  const NormLayer& norm) {
    float* y = step.attended_.data();
    normalise_row(norm, x_1D.const_data_ptr<float>(), y);
    return hand_over(layers, linears, y);
  }

  // Attention of the heads of some keys and values, which join the others in the cache.
  void attend(size_t block, int64_t t, int64_t threads) {
    const ModelConfig& config = model.config();
    const int64_t D = config.width, H = config.heads, G = config.key_heads(), S = D / H,
                  T = cache.length + 1;
    const auto [begin, end] = kernels::part_of(G, 1, t, threads);
    if (begin >= end) return;
    const int64_t heads = H / G, count = end - begin;
    float *q = step.qkv_.data(), *k = q + D, *v = k + G * S;
    float* keys = cache.keys[block].data_ptr<float>();
    float* values = cache.values[block].data_ptr<float>();
    float* new_keys = keys + cache.length * G * S;
    if (angles) {
      const auto turn = [&](const float* from, int64_t of, float* to) {
        kernels::rotate(from, angles->cosine.const_data_ptr<float>(),
                        angles->sine.const_data_ptr<float>(), {1, of * S, 1, of, S}, false, to);
      };
      float* turned = step.turned_.data();
      turn(q + begin * heads * S, count * heads, turned + begin * heads * S);
      turn(k + begin * S, count, new_keys + begin * S);
      q = turned;
    } else {
      std::copy(k + begin * S, k + end * S, new_keys + begin * S);
    }
    std::copy(v + begin * S, v + end * S, values + cache.length * G * S + begin * S);
    kernels::decode_attention_part(q, keys, values, {T, H, G, S}, begin, end, step.scores_.data(),
                                   step.attended_.data());
  }
  bool feed(const BitLinear& layer, std::vector<Linear>& linear) {
    const int64_t F = layer.layer.in_features;
    float* hidden = step.hidden_.data();
    float* fed = hidden + static_cast<int64_t>(step.hidden_.size()) - F;
    if (static_cast<int64_t>(step.hidden_.size()) == 2 * F)
      kernels::gelu_forward(hidden, fed, F);
    else
      kernels::swiglu_forward(hidden, hidden + F, fed, F);
    return hand_over(one(layer), linear, fed);
  }

  void work(int64_t t, int64_t threads) {
    for (size_t i = 0; i < step.blocks_.size(); ++i) {
      Block& block = model.blocks_[i];
      Layers& layers = step.blocks_[i];
      multiply(t, layers.qkv, 4 * i, [&] {
        if (i > 0) add(step.fed_);
        return normalised(block.qkv, layers.qkv, block.ln_1);
      });
      guarded([&] { attend(i, t, threads); });
      barrier.wait();
      multiply(t, layers.attn_proj, 4 * i + 1, [&] {
        return hand_over(one(block.attn_proj), layers.attn_proj, step.attended_.data());
      });
      multiply(t, layers.fc, 4 * i + 2, [&] {
        add(step.fed_);
        return normalised(block.fc, layers.fc, block.ln_2);
      });
      multiply(t, layers.mlp_proj, 4 * i + 3,
               [&] { return feed(block.mlp_proj, layers.mlp_proj); });
    }
  }
};

bool TokenStep::run(Transformer& model, const at::Tensor& x_1D, KeyValueCache& cache,
                    const std::optional<Rotary::Angles>& angles) {
  scores_.resize(static_cast<size_t>(model.config().heads * (cache.length + 1)));
  const auto run_on = [&](int64_t threads) -> std::optional<bool> {
    Run run{.step = *this,
            .model = model,
            .x_1D = x_1D,
            .cache = cache,
            .angles = angles,
            .barrier = kernels::Barrier(threads),
            .shares = {},
            .ready = SIZE_MAX,
            .throwing = {},
            .thrown = {}};
    for (const Layers& layers : blocks_)
      for (const auto* linears : {&layers.qkv, &layers.attn_proj, &layers.fc, &layers.mlp_proj})
        run.shares.emplace_back(parts_of(*linears), threads);
    if (!kernels::run_together(threads, [&](int64_t t) { run.work(t, threads); })) return {};
    if (run.thrown) std::rethrow_exception(run.thrown);
    if (!run.failed) run.add(fed_);
    return !run.failed;
  };
  // The team may be another's.
  const std::optional<bool> done = run_on(kernels::team_size());
  return done ? *done : *run_on(1);
}

}  // namespace bitloop::trainer
