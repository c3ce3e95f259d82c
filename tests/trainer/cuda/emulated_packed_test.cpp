// The GPU's packed product against its plain loops, thread by thread on this processor.
#include "tests/trainer/cuda/emulator.h"
#include "tests/trainer/cuda/packed_cases.h"

namespace bitloop::trainer {
namespace {

constexpr int kWarps = 4;

TEST(EmulatedPacked, ProductsAreThePlainOnes) {
  const cuda::Emulator emulator(
      fmt::format(
          "#include \"{0}/trainer/cuda/packed_products.cuh\"\n"
          "using namespace bitloop::cuda;\nusing Arguments = bitloop::kernels::PackedProduct;\n",
          BITLOOP_SOURCE_DIR),
      {"packed_integers", "packed_floats"});
  each_case([&](const PackedCase& made) {
    const size_t size = static_cast<size_t>(made.rows * made.weight().N);
    std::vector<float> got(size, -7), want(size);
    const int64_t grid = (made.weight().N + kWarps - 1) / kWarps, grid_y = (made.rows + 3) / 4;
    emulator.run("packed_integers", grid, 32, kWarps, made.integers(got.data()), grid_y);
    kernels::reference_packed_product(made.integers(want.data()));
    compare(got, want, true);
    emulator.run("packed_floats", grid, 32, kWarps, made.floats(got.data()), grid_y);
    kernels::reference_packed_product(made.floats(want.data()));
    compare(got, want, false);
  });
}

}  // namespace
}  // namespace bitloop::trainer
