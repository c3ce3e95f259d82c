#include "trainer/loop/machine.h"

#include <ATen/ATen.h>
#include <c10/util/Exception.h>

#include "trainer/device/cuda_kernels.h"
#include "trainer/device/device.h"
#include "trainer/model/device_product.h"
#include "trainer/model/transformer.h"

namespace bitloop::trainer {
namespace {

// What a sequence needs, once.
void run_some(at::Device device, kernels::DeviceKernels& kernels) {
  constexpr int64_t kWidth = 64;
  Transformer model({.vocab_size = 64,
                     .padded_vocab_size = 64,
                     .context = 8,
                     .layers = 1,
                     .heads = 2,
                     .width = kWidth},
                    false, 1);
  const ForwardContext context{.products = Products::kFloat32, .as_stored = true};
  (void)model.quantize_weights(context);
  if (!model.serve_on(device, kernels)) return;
  KeyValueCache cache = model.make_cache(4);
  const at::Tensor ids = at::zeros({2}, at::TensorOptions(device).dtype(at::kLong));
  const auto prompt = model.prefill(ids, cache, context);
  KeyValueCache* const one[] = {&cache};
  const auto next = model.decode(ids.narrow(0, 0, 1), one, context);
  if (prompt && next) (void)model.logits(*next, context)->cpu();
  lua::Format format;
  format.levels = {-1, 0, 1};
  const StoredWeight weight{.out_features = 8,
                            .in_features = kWidth,
                            .codes = at::zeros({(8 * kWidth + 4) / 5}, at::kByte),
                            .scale = at::ones({1}),
                            .offset = {},
                            .codebook = {}};
  const auto product = device_packed_product(weight, format, {at::ones({1}), 1}, device, kernels);
  Operand row;
  row.value = at::ones({1, kWidth}, device);
  (void)product->multiply(row, {});
  row.codes_int8 = row.value.to(at::kChar);
  row.int8_scale = at::ones({1}, device);
  (void)product->multiply(row, {}).cpu();
}

// The kernels, if they work.
Result<std::unique_ptr<kernels::DeviceKernels>> working_kernels(at::Device device) {
  BITLOOP_ASSIGN(kernels, open_cuda_kernels());
  std::string error;
  try {
    const at::NoGradGuard no_grad;
    run_some(device, *kernels);
    error = kernels->error();
  } catch (const c10::Error& thrown) {
    error = thrown.what_without_backtrace();
  }
  if (!error.empty()) return fail("device_unavailable", "the GPU can't compute: " + error);
  return kernels;
}

}  // namespace

Result<Machine> open_machine(const std::string& wanted) {
  Machine machine;
  BITLOOP_ASSIGN(device, open_device(wanted));
  machine.opened = device;
  if (device.is_cpu()) return machine;
  auto kernels = working_kernels(device);
  if (!kernels && wanted != "auto") return std::unexpected(kernels.error());
  if (kernels)
    machine.kernels = std::move(*kernels);
  else
    machine.note = "on the CPU: " + kernels.error().message;
  return machine;
}

std::string name_of(const Machine& machine) {
  return machine.kernels ? device_name(machine.opened) : device_name(at::kCPU);
}

}  // namespace bitloop::trainer
