#include "trainer/loop/codebook_use.h"

#include <ATen/ATen.h>

#include <cmath>

namespace bitloop::trainer {
namespace {

// Sums over the layers.
struct Sums {
  double squares = 0, weights = 0, utilization = 0, blocks = 0, dead = 0, entries = 0;
};

void add(Sums& sums, const BitLinear& layer, int64_t block) {
  const at::Tensor& codebook = layer.weight_operand.codebook;  // (N, blocks, entries)
  const int64_t N = codebook.size(0), blocks = codebook.size(1), entries = codebook.size(2);
  const at::Tensor latent = layer.latent.detach();
  const int64_t missing = blocks * block - latent.size(1);  // of a row's last block
  const auto in_blocks = [&](const at::Tensor& t_NK) {
    return at::constant_pad_nd(t_NK, {0, missing}).view({N, blocks, block});
  };
  const at::Tensor codes = in_blocks(layer.weight_operand.codes.to(at::kLong)),
                   real = in_blocks(at::ones_like(latent));
  const at::Tensor error = (in_blocks(latent) - codebook.gather(2, codes)) * real;
  sums.squares += error.square().sum().item<double>();
  sums.weights += static_cast<double>(latent.numel());

  const at::Tensor counts = at::zeros_like(codebook).scatter_add(2, codes, real);
  const at::Tensor shares = counts / counts.sum(2, /*keepdim=*/true);
  const at::Tensor entropy = -at::xlogy(shares, shares).sum(2);
  sums.utilization += (entropy.exp() / static_cast<double>(entries)).sum().item<double>();
  sums.blocks += static_cast<double>(N * blocks);
  sums.dead += counts.eq(0).sum().item<double>();
  sums.entries += static_cast<double>(codebook.numel());
}

}  // namespace

nlohmann::json codebook_use(const Run& run) {
  const at::NoGradGuard no_grad;
  nlohmann::json record = nlohmann::json::object();
  if (!run.quantizer || run.quantizer->format().codebook_entries == 0) return record;
  Sums sums;
  for (const BitLinear* layer : run.model->bitlinears()) {
    if (!layer->weight_operand.codebook.defined()) return record;
    add(sums, *layer, run.quantizer->format().codebook_block);
  }
  record["quant_err_rms"] = std::sqrt(sums.squares / sums.weights);
  record["cb_utilization"] = sums.utilization / sums.blocks;
  record["dead_frac"] = sums.dead / sums.entries;
  return record;
}

}  // namespace bitloop::trainer
