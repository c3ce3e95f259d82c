// As much of CUDA C++ as generated kernels use, for the processor: included before their source, which
// the emulator (emulator.h) compiles. A block's threads are fibers, which take turns while one waits for
// the others at a barrier or for its warp at a shuffle.
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#define BITLOOP_EMULATED
#define __device__
#define __global__
#define __shared__ static
#define __launch_bounds__(threads)

struct Dim {
  unsigned x = 0, y = 0, z = 0;
};
static Dim threadIdx, blockIdx, blockDim, gridDim;

struct uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
static uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

static float __uint_as_float(unsigned bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}
static unsigned __float_as_uint(float x) {
  unsigned bits;
  std::memcpy(&bits, &x, 4);
  return bits;
}
static float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
static float emulated_exp(float x) { return std::exp(x); }
#define __expf emulated_exp  // the C library has that name, too
static float __fdividef(float a, float b) { return a / b; }
static float __fmul_rn(float a, float b) { return a * b; }
static float __fadd_rn(float a, float b) { return a + b; }
static float clamp(float x, float low, float high) {
  return x != x ? x : std::min(std::max(x, low), high);
}
static unsigned round_half_bits(float x) {  // to bfloat16
  const unsigned bits = __float_as_uint(x);
  return x != x ? 0x7fc0u : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}
static unsigned round_pair(float low, float high) {
  return round_half_bits(low) | round_half_bits(high) << 16;
}
static float round_half(float x) { return static_cast<float>(static_cast<_Float16>(x)); }

namespace emulated {

struct Fiber {
  ucontext_t context{};
  std::vector<char> stack;
  Dim thread;
  bool done = false;
  int shuffles = 0, barriers = 0;
};
static std::vector<std::unique_ptr<Fiber>> fibers;
static ucontext_t scheduler;
static Fiber* running = nullptr;
static float slots[2][64][32];

static void take_turns() { swapcontext(&running->context, &scheduler); }

static unsigned linear() { return threadIdx.y * blockDim.x + threadIdx.x; }

// body() in every thread of every block.
template <typename Body>
void run(unsigned grid, unsigned grid_y, unsigned bx, unsigned by, const Body& body) {
  static const Body* current;
  current = &body;
  gridDim = {grid, grid_y, 1}, blockDim = {bx, by, 1};
  for (unsigned b = 0; b < grid * grid_y; ++b) {
    blockIdx = {b % grid, b / grid, 0};
    fibers.clear();
    for (unsigned y = 0; y < by; ++y)
      for (unsigned x = 0; x < bx; ++x) {
        auto fiber = std::make_unique<Fiber>();
        fiber->thread = {x, y, 0};
        fiber->stack.resize(size_t{64} << 10);
        getcontext(&fiber->context);
        fiber->context.uc_stack.ss_sp = fiber->stack.data();
        fiber->context.uc_stack.ss_size = fiber->stack.size();
        fiber->context.uc_link = &scheduler;
        makecontext(&fiber->context, +[] {
          (*current)();
          running->done = true;
        }, 0);
        fibers.push_back(std::move(fiber));
      }
    for (bool any = true; any;) {
      any = false;
      for (const auto& fiber : fibers) {
        if (fiber->done) continue;
        any = true;
        running = fiber.get();
        threadIdx = fiber->thread;
        swapcontext(&scheduler, &fiber->context);
      }
    }
  }
}

}  // namespace emulated

static void __syncthreads() {
  using namespace emulated;
  const int mine = ++running->barriers;
  const auto behind = [&](const auto& fiber) { return !fiber->done && fiber->barriers < mine; };
  while (std::any_of(fibers.begin(), fibers.end(), behind)) take_turns();
}
static float __shfl_xor_sync(unsigned, float v, int d) {
  using namespace emulated;
  const unsigned thread = linear();
  const int mine = ++running->shuffles;
  auto& slots = emulated::slots[mine % 2];  // no lane is two shuffles ahead of another
  slots[thread / 32][thread % 32] = v;
  const auto warp = fibers.begin() + thread / 32 * 32;
  while (std::any_of(warp, warp + 32, [&](const auto& fiber) { return fiber->shuffles < mine; }))
    take_turns();
  return slots[thread / 32][(thread % 32) ^ static_cast<unsigned>(d)];
}
static unsigned __shfl_xor_sync(unsigned mask, unsigned v, int d) {
  float bits;  // handed on as they are
  std::memcpy(&bits, &v, 4);
  bits = __shfl_xor_sync(mask, bits, d);
  std::memcpy(&v, &bits, 4);
  return v;
}
