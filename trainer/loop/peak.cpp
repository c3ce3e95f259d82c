#include "trainer/loop/peak.h"

#include <ATen/ATen.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>

#include "trainer/device/device.h"
#include "trainer/loop/clock.h"

namespace bitloop::trainer {
namespace {

constexpr std::chrono::milliseconds kSpent{40};
constexpr double kMostFlopsOfCpu = 4e9;  // of one product: some tens of milliseconds on two cores
constexpr int64_t kMostRowsOfGpu = 65536;

// Numbers that differ: on a GPU zeros and ones cost less power than numbers do.
at::Tensor numbers(int64_t rows, int64_t columns, const at::TensorOptions& options) {
  return at::arange(rows * columns, at::kFloat).sin().view({rows, columns}).to(options);
}

}  // namespace

double measure_peak_flops(const Job& job, at::Device device) {
  const at::NoGradGuard no_grad;
  const int64_t D = job.model.width, F = job.model.hidden_width();
  const double flops_a_row = 2.0 * static_cast<double>(D) * static_cast<double>(F);
  const int64_t most =
      device.is_cpu() ? static_cast<int64_t>(kMostFlopsOfCpu / flops_a_row) + 1 : kMostRowsOfGpu;
  const int64_t R = std::min(most, job.train.micro_batch * job.sequence());
  const auto options = at::TensorOptions(device).dtype(
      job.train.precision == "bfloat16" ? at::kBFloat16 : at::kFloat);
  const at::Tensor x = numbers(R, D, options), w = numbers(F, D, options).t();
  at::Tensor y = at::empty({R, F}, options);
  const auto multiply = [&] {
    const Clock::time_point start = Clock::now();
    at::mm_out(y, x, w);
    if (!device.is_cpu()) (void)y[0][0].item<float>();  // waits for it
    return seconds_since(start);
  };
  (void)multiply();
  double best = multiply();
  for (const Clock::time_point end = Clock::now() + kSpent; Clock::now() < end;)
    best = std::min(best, multiply());
  return flops_a_row * static_cast<double>(R) / best;
}

uint64_t peak_memory(at::Device device) {
  if (!device.is_cpu()) return device_peak_memory(device);
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) << 10;
}

}  // namespace bitloop::trainer
