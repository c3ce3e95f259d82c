// The packed product of a GPU against its plain loops.
#include "tests/trainer/cuda/on_gpu.h"
#include "tests/trainer/cuda/packed_cases.h"

namespace bitloop::trainer {
namespace {

TEST_F(OnGpu, PackedProducts) {
  each_case([&](const PackedCase& made) {
    std::vector<at::Tensor> keep;
    const auto there = [&]<typename T>(const T*& pointer, const std::vector<T>& numbers) {
      if (pointer == nullptr) return;
      const auto size = static_cast<int64_t>(numbers.size() * sizeof(T));
      at::Tensor bytes = at::empty({size}, at::kByte);
      std::memcpy(bytes.data_ptr(), numbers.data(), static_cast<size_t>(size));
      pointer = static_cast<const T*>(keep.emplace_back(bytes.to(at::kCUDA)).data_ptr());
    };
    for (const bool integers : {true, false}) {
      const int64_t size = made.rows * made.weight().N;
      std::vector<float> want(static_cast<size_t>(size));
      const kernels::PackedProduct plain =
          integers ? made.integers(want.data()) : made.floats(want.data());
      kernels::reference_packed_product(plain);
      kernels::PackedProduct p = plain;
      there(p.weight.bytes, made.bytes), there(p.weight.integers, made.wide),
          there(p.weight.values, made.values);
      there(p.weight.scale.numbers, made.scale), there(p.weight.offset.numbers, made.offset);
      there(p.weight.codebook, made.book), there(p.codes, made.x_codes), there(p.x, made.x);
      there(p.x_scale, made.x_scale), there(p.w_scale, made.w_scale), there(p.bias, made.bias);
      const at::Tensor y = at::empty({size}, at::TensorOptions(at::kCUDA).dtype(at::kFloat));
      p.y = y.data_ptr<float>();
      gpu().multiply(p);
      EXPECT_EQ(gpu().error(), "");
      const at::Tensor got = y.cpu();
      compare({got.const_data_ptr<float>(), got.const_data_ptr<float>() + size}, want, integers);
    }
  });
}

}  // namespace
}  // namespace bitloop::trainer
