// Each kernel against its plain loops.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "lua/capture/lower.h"
#include "tests/trainer/cuda/on_gpu.h"
#include "tests/trainer/fixture.h"
#include "trainer/model/capture.h"

namespace bitloop::trainer {
namespace {

using kernels::DeviceKernels;
using kernels::DeviceProduct;
using kernels::RowsIn;

at::Tensor there(const at::Tensor& tensor) { return tensor.to(at::kCUDA); }

TEST_F(OnGpu, ProductsInEveryForm) {
  for (const auto& [M, N, K] : {std::array<int64_t, 3>{64, 192, 64}, {256, 128, 320}})
    for (int form = 0; form < 16; ++form) {
      const bool a_by_column = form & 1, b_by_column = form & 2, adds = form & 4, more = form & 8;
      const at::Tensor a = bf16_randn({M, K}), b = bf16_randn({K, N}), bias = bf16_randn({N}),
                       addend = bf16_randn({M, N}), before = at::randn({M, N}),
                       alpha = at::full({1}, 0.37f);
      const auto run = [&](DeviceKernels& device, bool on_gpu) {
        const auto move = [&](const at::Tensor& t) { return on_gpu ? there(t) : t; };
        const at::Tensor x = move(
                             a.view(a_by_column ? at::IntArrayRef{K, M} : at::IntArrayRef{M, K})),
                         w = move(
                             b.view(b_by_column ? at::IntArrayRef{N, K} : at::IntArrayRef{K, N})),
                         s = move(alpha), c = move(addend), d = move(bias);
        const at::Tensor sum = move(before.clone()), out = at::empty_like(c);
        DeviceProduct p{.M = M,
                        .N = N,
                        .K = K,
                        .a = raw(x),
                        .b = raw(w),
                        .a_by_column = a_by_column,
                        .b_by_column = b_by_column,
                        .alpha = s.data_ptr<float>()};
        if (adds) {
          p.sum = sum.data_ptr<float>();
          p.adds = more;
        } else {
          p.out = raw(out);
          if (more) p.addend = raw(c), p.bias = raw(d);
        }
        device.multiply(p);
        return (adds ? sum : out).cpu();
      };
      const at::Tensor want = run(*plain_, false), got = run(gpu(), true);
      EXPECT_EQ(gpu().error(), "");
      EXPECT_LT(distance(got, want), kBf16) << M << " " << form;
    }
}

TEST_F(OnGpu, AProductTimesTheSlopeOfGelu) {
  const int64_t M = 128, N = 256, K = 64;
  const at::Tensor a = bf16_randn({M, K}), b = bf16_randn({K, N}), at_ = bf16_randn({M, N});
  at::Tensor results[2];
  for (int side = 0; side < 2; ++side) {
    const at::Tensor x = side ? there(a) : a, w = side ? there(b) : b, h = side ? there(at_) : at_;
    const at::Tensor out = at::empty_like(h);
    (side ? gpu() : *plain_)
        .multiply(DeviceProduct{
            .M = M, .N = N, .K = K, .a = raw(x), .b = raw(w), .slope_at = raw(h), .out = raw(out)});
    results[side] = out.cpu();
  }
  EXPECT_EQ(gpu().error(), "");
  EXPECT_LT(distance(results[1], results[0]), kBf16);
}

TEST_F(OnGpu, IntegerProductsAreExactBeforeTheirScales) {
  const int64_t M = 384, N = 512, K = 256;
  if (!gpu().multiplies_integers(M, N, K)) GTEST_SKIP() << "no int8 kernel for this GPU";
  const at::Tensor a = at::randint(-128, 128, {M, K}, at::kChar),
                   b = at::randint(-1, 2, {N, K}, at::kChar), a_scale = at::rand({M}) + 0.1,
                   b_scale = at::full({1}, 0.013f), bias = bf16_randn({N}),
                   addend = bf16_randn({M, N});
  for (const bool more : {false, true}) {
    at::Tensor results[2];
    for (int side = 0; side < 2; ++side) {
      const auto move = [&](const at::Tensor& t) { return side ? there(t) : t; };
      const at::Tensor x = move(a), w = move(b), s = move(a_scale), t = move(b_scale),
                       c = move(addend), d = move(bias), out = at::empty_like(c);
      (side ? gpu() : *plain_)
          .multiply(kernels::DeviceIntegerProduct{.M = M,
                                                  .N = N,
                                                  .K = K,
                                                  .a = x.data_ptr<int8_t>(),
                                                  .b = w.data_ptr<int8_t>(),
                                                  .a_scale = s.data_ptr<float>(),
                                                  .b_scale = t.data_ptr<float>(),
                                                  .bias = more ? raw(d) : nullptr,
                                                  .addend = more ? raw(c) : nullptr,
                                                  .out = raw(out)});
      results[side] = out.cpu();
    }
    EXPECT_EQ(gpu().error(), "");
    // Sums are exact, so what differs is the last rounding alone.
    EXPECT_LT(distance(results[1], results[0]), 2e-4) << more;
  }
}

// activation_quant of every shipped file that goes over single rows, after each kind of rows.
TEST_F(OnGpu, RowsOfEveryQuantizer) {
  for (const char* file : {"ternary", "group64", "five_levels", "percentile85", "seq_2bit"})
    for (const int64_t K : {64, 96, 768, 1024, 1600, 3072, 4096, 6400}) {
      const auto quantizer = shipped_quantizer(file);
      const int64_t R = 37;
      Capture capture;
      const lua::Layer layer{.name = "l", .kind = "mlp_fc", .in_features = K, .out_features = K};
      const NamedTensorMap none;
      const Status tried = try_capture(
          capture,
          [&](const at::Tensor& x, lua::Recording* recording) {
            return quantizer->activation_quant(
                x, {.training = true, .layer = &layer, .params = &none, .state = &none}, recording);
          },
          at::randn({R, K}), none, none);
      ASSERT_TRUE(tried) << tried.error().message;
      if (capture.state != Capture::kCaptured || !capture.function->streams()) continue;
      const kernels::RowQuantizer program{.program = capture.function->forward().program, .K = K};
      const at::Tensor x = bf16_randn({R, K}, 2.0), weight = at::rand({K}) + 0.5,
                       bias = at::randn({K}) * 0.1;
      for (const RowsIn::Kind kind : {RowsIn::kPlain, RowsIn::kLayerNorm, RowsIn::kGelu}) {
        at::Tensor codes[2], scales[2], values[2], means[2], rstds[2];
        for (int side = 0; side < 2; ++side) {
          DeviceKernels& device = side ? gpu() : *plain_;
          const auto move = [&](const at::Tensor& t) { return side ? there(t) : t; };
          const at::Tensor from = move(x), w = move(weight), b = move(bias);
          codes[side] = move(at::zeros({R, K}, at::kChar));
          scales[side] = move(at::zeros({R})), means[side] = move(at::zeros({R}));
          rstds[side] = move(at::zeros({R})), values[side] = at::empty_like(from);
          const at::Tensor refused = move(at::zeros({1}, at::kInt));
          std::string why;
          const auto compiled = device.compile(program, why);
          ASSERT_NE(compiled, nullptr) << why;
          device.quantize_rows({.kind = kind,
                                .x = raw(from),
                                .weight = w.data_ptr<float>(),
                                .bias = b.data_ptr<float>(),
                                .mean = means[side].data_ptr<float>(),
                                .rstd = rstds[side].data_ptr<float>()},
                               R, K, compiled.get(), {},
                               {.value = raw(values[side]),
                                .codes = codes[side].data_ptr<int8_t>(),
                                .scale = scales[side].data_ptr<float>(),
                                .refused = refused.data_ptr<int32_t>()});
          EXPECT_EQ(device.error(), "");
          EXPECT_EQ(refused.item<int32_t>(), 0) << file;
        }
        const at::Tensor gap = (codes[1].cpu().to(at::kInt) - codes[0].to(at::kInt)).abs();
        EXPECT_LE(gap.max().item<int32_t>(), 1) << file << " " << K << " " << kind;
        // Codes at a boundary: few.
        EXPECT_LE(gap.sum().item<int64_t>(), 2 + R * K / 500) << file << " " << K << " " << kind;
        EXPECT_LT(distance(scales[1], scales[0]), 2e-3) << file << " " << K << " " << kind;
        EXPECT_LT(distance(values[1], values[0]), 1e-2) << file << " " << K << " " << kind;
        if (kind == RowsIn::kLayerNorm) {
          EXPECT_LT(distance(means[1], means[0]), 1e-4);
          EXPECT_LT(distance(rstds[1], rstds[0]), 1e-5);
        }
      }
    }
}

TEST_F(OnGpu, AttentionForwardAndBackward) {
  const kernels::DeviceAttention shape{2, 128, 3, 64};
  const int64_t rows = shape.B * shape.T, D = shape.H * shape.S;
  const at::Tensor qkv = bf16_randn({rows, 3 * D}), dout = bf16_randn({rows, D});
  at::Tensor out[2], lse[2], dqkv[2];
  for (int side = 0; side < 2; ++side) {
    const auto move = [&](const at::Tensor& t) { return side ? there(t) : t; };
    DeviceKernels& device = side ? gpu() : *plain_;
    const at::Tensor given = move(qkv), gradient = move(dout);
    out[side] = at::empty_like(gradient), dqkv[side] = at::empty_like(given);
    lse[side] = move(at::zeros({shape.B * shape.H * shape.T}));
    device.attention(shape, raw(given), raw(out[side]), lse[side].data_ptr<float>());
    device.attention_backward(shape, raw(given), raw(out[side]), lse[side].data_ptr<float>(),
                              raw(gradient), raw(dqkv[side]));
    EXPECT_EQ(device.error(), "");
  }
  EXPECT_LT(distance(out[1], out[0]), 2 * kBf16);
  EXPECT_LT(distance(lse[1], lse[0]), 1e-4);
  EXPECT_LT(distance(dqkv[1], dqkv[0]), 3 * kBf16);
}

TEST_F(OnGpu, LayerNormsBackward) {
  for (const int64_t D : {64, 1024}) {
    const int64_t R = 2501;
    const at::Tensor dy = bf16_randn({R, D}), x = bf16_randn({R, D}), before = bf16_randn({R, D}),
                     mean = at::randn({R}) * 0.1, rstd = at::rand({R}) + 0.5,
                     weight = at::rand({D}) + 0.5;
    at::Tensor dx[2], dw[2], db[2], sums[2];
    for (int side = 0; side < 2; ++side) {
      const auto move = [&](const at::Tensor& t) { return side ? there(t) : t.clone(); };
      const at::Tensor g = move(dy), n = move(x), m = move(mean), s = move(rstd), w = move(weight);
      dx[side] = move(before), dw[side] = move(at::ones({D})), db[side] = move(at::ones({D}));
      sums[side] = move(at::ones({D}));
      (side ? gpu() : *plain_)
          .layer_norm_backward(raw(g), raw(n), m.data_ptr<float>(), s.data_ptr<float>(),
                               w.data_ptr<float>(), R, D, raw(dx[side]), dw[side].data_ptr<float>(),
                               db[side].data_ptr<float>(), sums[side].data_ptr<float>());
    }
    EXPECT_EQ(gpu().error(), "");
    EXPECT_LT(distance(dx[1], dx[0]), kBf16);
    EXPECT_LT(distance(dw[1], dw[0]), 1e-4);
    EXPECT_LT(distance(db[1], db[0]), 1e-4);
    EXPECT_LT(distance(sums[1], sums[0]), 2e-3);  // of numbers that were rounded before
  }
}

TEST_F(OnGpu, CrossEntropyInPlace) {
  for (const int64_t V : {256, 50304, 65536}) {
    const int64_t R = 9;
    const at::Tensor logits = bf16_randn({R, V}, 3.0), targets = at::randint(V, {R}, at::kLong);
    at::Tensor gradient[2], losses[2];
    for (int side = 0; side < 2; ++side) {
      const auto move = [&](const at::Tensor& t) { return side ? there(t) : t.clone(); };
      gradient[side] = move(logits), losses[side] = move(at::zeros({R}));
      const at::Tensor wanted = move(targets);
      (side ? gpu() : *plain_)
          .cross_entropy(raw(gradient[side]), wanted.data_ptr<int64_t>(), R, V, 0.01f,
                         losses[side].data_ptr<float>());
    }
    EXPECT_EQ(gpu().error(), "");
    EXPECT_LT(distance(gradient[1], gradient[0]), kBf16) << V;
    EXPECT_LT(distance(losses[1], losses[0]), 1e-5) << V;
  }
}

TEST_F(OnGpu, EmbeddingsBothWays) {
  const int64_t R = 96, T = 24, D = 128, V = 50;
  const at::Tensor ids = at::randint(V, {R}, at::kLong), wte = at::randn({V, D}),
                   wpe = at::randn({T, D}), dx = bf16_randn({R, D});
  const auto [sorted, order] = ids.sort(/*stable=*/true, 0, false);
  const at::Tensor rows = order.to(at::kInt);
  std::vector<int32_t> begins;
  for (int64_t r = 0; r < R; ++r)
    if (r == 0 || sorted[r].item<int64_t>() != sorted[r - 1].item<int64_t>())
      begins.push_back(static_cast<int32_t>(r));
  const auto count = static_cast<int64_t>(begins.size());
  begins.push_back(static_cast<int32_t>(R));
  at::Tensor x[2], dwte[2], dwpe[2];
  for (int side = 0; side < 2; ++side) {
    const auto move = [&](const at::Tensor& t) { return side ? there(t) : t.clone(); };
    DeviceKernels& device = side ? gpu() : *plain_;
    const at::Tensor i = move(ids), w = move(wte), p = move(wpe), g = move(dx), o = move(rows),
                     s = move(at::tensor(begins, at::kInt));
    x[side] = at::empty_like(g), dwte[side] = move(at::ones({V, D}));
    dwpe[side] = move(at::zeros({T, D}));
    device.embed(i.data_ptr<int64_t>(), w.data_ptr<float>(), p.data_ptr<float>(), R, T, D,
                 raw(x[side]));
    device.embed_backward(raw(g), i.data_ptr<int64_t>(), o.data_ptr<int32_t>(),
                          s.data_ptr<int32_t>(), count, R, T, D, dwte[side].data_ptr<float>(),
                          dwpe[side].data_ptr<float>());
  }
  EXPECT_EQ(gpu().error(), "");
  EXPECT_TRUE(at::equal(x[1].cpu(), x[0]));
  EXPECT_LT(distance(dwte[1], dwte[0]), 1e-6);
  EXPECT_LT(distance(dwpe[1], dwpe[0]), 1e-6);
}

TEST_F(OnGpu, ConversionsAndSums) {
  const int64_t R = 300, K = 264;
  const at::Tensor codes = at::randint(-128, 128, {R, K}, at::kChar), numbers = at::randn({R, K}),
                   x = bf16_randn({R, K});
  at::Tensor rounded[2], wide[2], sum[2];
  for (int side = 0; side < 2; ++side) {
    const auto move = [&](const at::Tensor& t) { return side ? there(t) : t.clone(); };
    DeviceKernels& device = side ? gpu() : *plain_;
    const at::Tensor c = move(codes), n = move(numbers), b = move(x);
    rounded[side] = at::empty_like(b);
    wide[side] = at::empty_like(b), sum[side] = move(at::ones({K}));
    device.round(n.data_ptr<float>(), R * K, raw(rounded[side]));
    device.widen(c.data_ptr<int8_t>(), R * K, raw(wide[side]));
    device.add_columns(raw(b), R, K, sum[side].data_ptr<float>());
  }
  EXPECT_EQ(gpu().error(), "");
  for (const auto* pair : {rounded, wide}) EXPECT_TRUE(at::equal(pair[1].cpu(), pair[0]));
  EXPECT_LT(distance(sum[1], sum[0]), 1e-5);
}

}  // namespace
}  // namespace bitloop::trainer
