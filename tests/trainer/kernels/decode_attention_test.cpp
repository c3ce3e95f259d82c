#include "trainer/kernels/decode_attention.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <tuple>

#include "trainer/model/functions.h"

namespace bitloop::kernels {
namespace {

TEST(DecodeAttention, IsAttentionOfTheLastRow) {
  for (const auto& [T, H, G, S] : {std::tuple{1, 2, 2, 8},
                                   {7, 3, 3, 5},
                                   {7, 6, 3, 5},
                                   {130, 4, 1, 32},
                                   {9, 9, 3, 64},
                                   {1024, 1, 1, 64}}) {
    const at::Tensor q = at::randn({H * S}), keys = at::randn({T, G * S}),
                     values = at::randn({T, G * S}), scores = at::empty({H * T}),
                     out = at::empty({H * S});
    decode_attention(q.const_data_ptr<float>(), keys.const_data_ptr<float>(),
                     values.const_data_ptr<float>(), {T, H, G, S}, scores.data_ptr<float>(),
                     out.data_ptr<float>());
    const auto heads = [&, H = H, S = S](const at::Tensor& x) {
      const at::Tensor of = x.to(at::kDouble).view({x.numel() / x.size(-1), -1, S}).transpose(0, 1);
      return of.repeat_interleave(H / of.size(0), 0);  // (H, T, S)
    };
    const at::Tensor weights =
        (heads(q).matmul(heads(keys).transpose(1, 2)) / std::sqrt(S)).softmax(-1);
    const at::Tensor wanted = weights.matmul(heads(values)).transpose(0, 1).reshape({H * S});
    EXPECT_TRUE(at::allclose(out.to(at::kDouble), wanted, 1e-5, 1e-5)) << T << " " << H << " " << S;
    // By operations, as on a GPU.
    const at::Tensor there = trainer::attention_of_one(q, keys, values, H, G);
    EXPECT_TRUE(at::allclose(there.to(at::kDouble), wanted, 1e-5, 1e-5)) << T << " " << H;
  }
}

TEST(DecodeAttention, PartsHaveTheBitsOfTheWhole) {
  constexpr int64_t T = 9, H = 6, G = 3, S = 20;
  const at::Tensor q = at::randn({H * S}), keys = at::randn({T, G * S}),
                   values = at::randn({T, G * S}), scores = at::empty({H * T}),
                   out = at::empty({H * S}), in_parts = at::full({H * S}, NAN);
  const auto part = [&](int64_t begin, int64_t end, const at::Tensor& to) {
    decode_attention_part(q.const_data_ptr<float>(), keys.const_data_ptr<float>(),
                          values.const_data_ptr<float>(), {T, H, G, S}, begin, end,
                          scores.data_ptr<float>(), to.data_ptr<float>());
  };
  part(0, G, out);
  part(1, 3, in_parts);
  EXPECT_TRUE(in_parts.narrow(0, 0, H / G * S).isnan().all().item<bool>());
  part(0, 1, in_parts);
  EXPECT_TRUE(at::equal(out, in_parts));
}

}  // namespace
}  // namespace bitloop::kernels
