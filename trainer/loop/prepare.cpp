#include "trainer/loop/prepare.h"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "sandbox/lock_down.h"
#include "trainer/audit/bits.h"
#include "trainer/audit/probes.h"
#include "trainer/data/watched_files.h"
#include "trainer/device/cuda_kernels.h"
#include "trainer/device/device.h"
#include "trainer/device/kernel_file.h"
#include "trainer/distributed/meeting.h"
#include "trainer/eval/evaluate.h"
#include "trainer/kernels/timed_kernels.h"
#include "trainer/loop/benchmark_score.h"
#include "trainer/loop/initial_weights.h"
#include "trainer/loop/packed_run.h"
#include "trainer/loop/peak.h"
#include "trainer/loop/threads.h"
#include "trainer/model/functions.h"
#include "trainer/model/fused_step.h"
#include "trainer/optim/schedule.h"

namespace bitloop::trainer {
namespace {

// Sequences at a time where LibTorch keeps every intermediate result, logits in float32 among them.
constexpr int64_t kGpuSequences = 8;
constexpr int64_t kProbedTokens = 32;
constexpr int kMachineFailed = 3;  // exit code
constexpr const char* kWeightsFile = "output/weights.safetensors";

bool wants_fused(const Run& run) {
  return run.training_products() == Products::kBfloat16 && run.job.train.execution == "fused";
}

// The written-out pass of the GPU. Its libraries start here, and its compiler with the rows of
// float layers: neither could later.
Status warm_device_pass(Run& run) {
  const ModelConfig& m = run.job.model;
  const int64_t B = run.job.micro_batch();
  if (!wants_fused(run) || !DeviceTraining::refuses(m, B).empty() ||
      run.job.sequence() != m.context)
    return {};
  // Not for a verification, which believes nothing that an earlier process left.
  if (run.job.kind == "train" && is_first(run))
    if (auto cache = KernelFile::open(kKernelFile)) run.kernel_cache = std::move(*cache);
  auto kernels = open_cuda_kernels(run.kernel_cache.get());
  if (!kernels && run.chose_device) {
    fmt::print(stderr, "training goes operation by operation: {}\n", kernels.error().message);
    return {};
  }
  if (!kernels) return std::unexpected(kernels.error());
  run.kernels = std::move(*kernels);
  if (run.job.kind == "profile")
    run.kernels = std::make_unique<kernels::TimedKernels>(std::move(run.kernels));
  auto pass = std::make_unique<DeviceTraining>(*run.model, B, *run.kernels, /*integer=*/true,
                                               run.job.train.input_gradients == "int8");
  const ForwardContext context{.training = true, .products = Products::kBfloat16};
  BITLOOP_TRY(run.model->quantize_weights(context));
  BITLOOP_TRY(pass->warm(context));
  run.device_pass = pass.get();
  run.fused = std::move(pass);
  return {};
}

// Everything that training will run, once, on zeros or on the first batch.
Status warm_training(Run& run) {
  const ModelConfig& m = run.job.model;
  const int64_t T = run.job.sequence();
  ForwardContext context{.training = true, .products = run.training_products()};
  if (run.device.is_cpu() && wants_fused(run) &&
      FusedTraining::supports(m, run.job.micro_batch(), T)) {
    auto pass = std::make_unique<FusedTraining>(*run.model, run.job.micro_batch(), T,
                                                run.job.train.input_gradients == "int8");
    pass->warm();
    run.fused = std::move(pass);
  }
  // Autograd's path too: surrogates go through it, and what the fused step does not take. On a GPU
  // with one sequence, since the fused step's memory is to fit beside it.
  const int64_t B = run.device.is_cpu() ? run.job.train.micro_batch : 1;
  const Batch batch = training_batch(run.data.train, 0, 0, 0, B, T).to(run.device);
  run.model->quantize_weights(context);
  const auto logits = run.model->forward(batch.inputs_BT, context);
  torch::autograd::backward({at::cross_entropy_loss(*logits, batch.targets_BT.view({-1}))}, {});
  for (BitLinear* layer : run.model->bitlinears())
    warm_integer_products(*layer, B * T, context.products);
  for (const auto& [name, tensor] : run.model->named_parameters())
    tensor.mutable_grad() = at::Tensor();
  return run.device.is_cpu() ? Status() : warm_device_pass(run);
}

// Of the first, random weights, before there is a candidate to blame. Requires: warm_model.
Status check_attention(Run& run) {
  const at::NoGradGuard no_grad;
  const int64_t T = run.job.model.context;
  const at::Tensor ids = validation_batch(run.data.validation, 0, 1, T).inputs_BT;
  const Predict predict = predict_with(*run.model, {});
  if (T < 2) return {};
  BITLOOP_ASSIGN(
      attends,
      attends_over_tokens(predict, ids.narrow(1, 0, std::min(T, kProbedTokens)).to(run.device)));
  if (attends) return {};
  return fail("broken_model",
              "the model does not attend over tokens: this build of the trainer is broken; run its "
              "tests (make test)");
}

// What every kind of job runs: the model in float32.
void warm_model(Run& run) {
  at::NoGradGuard no_grad;
  const ForwardContext context;
  (void)run.model->quantize_weights(context);
  const int64_t T = run.job.window();
  (void)run.model->forward(validation_batch(run.data.validation, 0, 1, T).inputs_BT.to(run.device),
                           context);
}

Status init_layers(Run& run) {
  lua::Quantizer& quantizer = *run.quantizer;
  if (!quantizer.has("init")) return {};
  for (BitLinear* layer : run.model->bitlinears()) {
    BITLOOP_ASSIGN(made, quantizer.init(layer->layer, layer->weight.detach()));
    for (auto& [name, param] : made.params) {
      layer->params[name] = param.value.requires_grad_(true);
      run.quantizer_slots.push_back({layer->params[name], param.lr_scale, param.weight_decay,
                                     layer->layer.name + ".params." + name});
    }
    layer->state = std::move(made.state);
    if (made.weight.defined()) {
      if (made.weight.sizes() != layer->weight.sizes())
        return fail("script_error",
                    fmt::format("init (layer {}): weight has another shape than the layer's",
                                layer->layer.name));
      layer->weight.detach().copy_(made.weight);
    }
  }
  return {};
}

sandbox::LockDownProfile profile_of(at::Device device) {
  return device.is_cpu() ? sandbox::LockDownProfile::kCpu : sandbox::LockDownProfile::kCuda;
}

// The candidate with tensors on this processor, where functions are captured for a GPU.
Result<std::unique_ptr<lua::Quantizer>> load_for_capture(const Job& job) {
  // Of a GPU's weights everything is larger and, here, slower; whether a function takes too long is
  // found out where it runs.
  constexpr lua::Limits kAmple = {.tensor_bytes = size_t{16} << 30, .call_seconds = 60};
  return lua::Quantizer::load(job.candidate, job.candidate_path, kAmple);
}

// Whether the fused step knows this candidate, which may need getting ready for it; else training
// goes through autograd, and standard error says why.
Status offer_to_fused(Run& run) {
  if (run.device_pass == nullptr) {
    if (run.quantizer->has("input")) run.fused.reset();  // a function between its kernels
    return {};
  }
  std::string why = DeviceTraining::refuses(*run.quantizer);
  if (why.empty() && blends(run.job.qat)) why = "the preset's qat blends activations";
  if (why.empty()) {
    BITLOOP_ASSIGN(on_cpu, load_for_capture(run.job));
    auto weights = std::make_unique<DeviceWeights>(*run.kernels);
    BITLOOP_TRY(weights->capture(run.model->bitlinears(), *on_cpu, run.context(0, true)));
    if (!weights->reason().empty())
      fmt::print(stderr, "weights are quantised operation by operation: {}\n", weights->reason());
    run.weight_programs = std::move(weights);
    const Status captured = run.device_pass->capture(*on_cpu, run.context(0, true));
    if (captured) return {};
    if (captured.error().code != "not_captured") return captured;
    why = captured.error().message;
  }
  fmt::print(stderr, "training goes operation by operation: {}\n", why);
  run.device_pass = nullptr;
  run.weight_programs.reset();
  run.fused.reset();
  return {};
}

}  // namespace

ForwardContext Run::context(int64_t step, bool training) const {
  return {.quantizer = quantizer.get(),
          .step = step,
          .total_steps = job.train.steps,
          .training = training,
          .products = training ? training_products() : Products::kExact,
          .captured = training && device.is_cpu() && job.train.execution == "fused",
          .weight_programs = training ? weight_programs.get() : nullptr};
}

int64_t Run::eager_micro_batch() const {
  const int64_t whole = job.micro_batch();
  int64_t B = whole;
  if (!device.is_cpu())
    while (B > kGpuSequences || whole % B != 0) --B;
  return B;
}

Products Run::training_products() const {
  return job.train.precision == "bfloat16" ? Products::kBfloat16 : Products::kFloat32;
}

Result<double> Run::lambda(int64_t step) const {
  if (!quantizer) return 1.0;
  if (!quantizer->has("lambda")) return share_of_quantisation(job.qat, step);
  return quantizer->lambda({.step = step, .total_steps = job.train.steps, .training = true});
}

NamedTensors Run::state_tensors() const {
  NamedTensors all = model->named_parameters();
  for (const BitLinear* layer : model->bitlinears()) {
    for (const auto& [name, tensor] : layer->params)
      all.emplace_back(layer->layer.name + ".params." + name, tensor);
    for (const auto& [name, tensor] : layer->state)
      all.emplace_back(layer->layer.name + ".state." + name, tensor);
  }
  return all;
}

Result<std::unique_ptr<Run>> prepare(Job job, const Records& records) {
  auto run = std::make_unique<Run>();
  run->job = std::move(job);
  run->records = &records;
  run->chose_device = run->job.train.device == "auto";
  if (const RankConfig& ranks = run->job.ranks; ranks.count > 1)
    choose_gpu(ranks.local_rank >= 0 ? ranks.local_rank : ranks.rank);
  BITLOOP_ASSIGN(device, open_device(run->job.train.device));
  run->device = device;
  run->job.train.device = device.is_cpu() ? "cpu" : "cuda";
  start_threads(run->job.threads);
  BITLOOP_ASSIGN(ranks, open_ranks(run->job.ranks));
  run->ranks = std::move(ranks);
  if (run->ranks) BITLOOP_TRY(same_job(*run));
  const bool first = is_first(*run);  // files are rank 0's
  BITLOOP_ASSIGN(data, open_dataset(run->job.data, run->job.model, run->job.data_dir));
  run->data = std::move(data);
  BITLOOP_ASSIGN(initial, InitialWeights::map(run->job.init_from));
  if (run->job.kind == "train" && first) {
    BITLOOP_ASSIGN(file, open_file(kWeightsFile, O_WRONLY | O_CREAT | O_TRUNC));
    run->weights_file = std::move(file);
    BITLOOP_ASSIGN(packed, open_file(kPackedFile, O_WRONLY | O_CREAT | O_TRUNC));
    run->packed_file = std::move(packed);
    if (run->job.checkpoint.every > 0) {
      BITLOOP_ASSIGN(checkpoints, CheckpointFiles::open("output", run->job.checkpoint.keep));
      run->checkpoints = std::move(checkpoints);
    }
  } else if (run->job.kind == "quantize") {
    BITLOOP_ASSIGN(packed, open_file(kPackedFile, O_WRONLY | O_CREAT | O_TRUNC));
    run->packed_file = std::move(packed);
  } else if (run->job.kind == "verify" && first) {
    BITLOOP_ASSIGN(file, open_file(kPackedFile, O_RDONLY));
    BITLOOP_ASSIGN(mapped, MappedFile::map(file.get()));
    run->packed = std::move(mapped);
  }
  run->model = std::make_unique<Transformer>(run->job.model, run->job.rules.quantize_head,
                                             run->job.train.seed);
  run->model->to(run->device);
  if (run->job.kind != "check") {
    if (run->job.kind != "quantize") BITLOOP_TRY(warm_training(*run));
    if (run->ranks) {
      BITLOOP_ASSIGN(early, all_sum_early(*run));
      if (early) BITLOOP_TRY(run->ranks->prepare_early_sums(run->device));
    }
    warm_evaluation(*run->model, run->data.validation, evaluation_batch(run->job),
                    run->job.window());
  }
  warm_model(*run);
  if (run->job.kind == "train") BITLOOP_TRY(check_attention(*run));
  if (run->job.kind != "check" && first) BITLOOP_TRY(open_benchmarks(*run));
  if ((run->job.kind == "train" || run->job.kind == "profile") && first) {
    // Of all ranks together, as are the tokens a second that are compared with it.
    run->peak_flops =
        measure_peak_flops(run->job, run->device) * static_cast<double>(run->job.ranks.count);
    records.send("machine", {{"device", device_name(run->device)},
                             {"peak_flops", run->peak_flops},
                             {"precision", run->job.train.precision}});
  }
  end_on_cut_files(records.fd(),
                   records.line_of("result", bare_result("infrastructure", kCutShort)),
                   kMachineFailed);
  records.stage("warm");
  BITLOOP_TRY(sandbox::lock_down(profile_of(run->device), !run->job.ranks.address.empty()));
  BITLOOP_TRY(initial.load(*run->model));
  return run;
}

Status check_variables(const Run& run) {
  if (run.quantizer->state_digest() == run.loaded_digest) return {};
  return fail("rejected",
              "a function changed a variable during training that later calls can read; keep "
              "state in ctx.state");
}

Result<std::unique_ptr<lua::Quantizer>> load_fresh(const Run& run) {
  lua::Limits limits;
  // A GPU's batches are larger, and so is its memory.
  limits.tensor_bytes = std::max<size_t>(limits.tensor_bytes, device_memory(run.device) / 4);
  return lua::Quantizer::load(run.job.candidate, run.job.candidate_path, limits, run.device);
}

Status load_candidate(Run& run) {
  run.records->stage("candidate_loaded");
  BITLOOP_ASSIGN(quantizer, load_fresh(run));
  BITLOOP_TRY(apply_overrides(quantizer->config(), run.job.rules, run.job.train));
  run.quantizer = std::move(quantizer);
  run.loaded_digest = run.quantizer->state_digest();
  BITLOOP_TRY(init_layers(run));
  return offer_to_fused(run);
}

const Finding* Preflight::failure() const {
  for (const Finding& finding : findings)
    if (!finding.ok) return &finding;
  return nullptr;
}

namespace {

// Adds a finding and sends its record; whether it is ok.
bool note(Run& run, Preflight& preflight, Finding finding) {
  run.records->finding(finding.rule, finding.ok, finding.detail);
  preflight.findings.push_back(std::move(finding));
  return preflight.findings.back().ok;
}

// The audits, with levels and bits on the weights as they are quantised now.
Preflight run_audits(Run& run, CausalityCuts cuts) {
  Preflight preflight;
  const ForwardContext scored = run.context(run.job.train.steps, false);
  if (!note(run, preflight, audit_levels(*run.model, run.quantizer->format()))) return preflight;
  preflight.bits_per_weight = bits_per_weight(*run.model, run.quantizer.get());
  note(run, preflight,
       {"bits_per_weight", true,
        fmt::format("{:.4f} bits a weight over the BitLinear layers", *preflight.bits_per_weight),
        ""});
  auto fresh = load_fresh(run);
  if (!fresh) {
    note(run, preflight, {"purity", false, fresh.error().message, fresh.error().code});
    return preflight;
  }
  if (!note(run, preflight, audit_purity(*run.model, *run.quantizer, **fresh, scored)))
    return preflight;
  note(run, preflight,
       audit_causality(*run.model, *run.quantizer, run.data.validation, run.job.rules, scored,
                       evaluation_batch(run.job), cuts, preflight.leaks, run.job.window()));
  return preflight;
}

}  // namespace

Preflight run_preflight(Run& run) {
  at::NoGradGuard no_grad;
  if (const Status quantized = run.model->quantize_weights(run.context(run.job.train.steps, false));
      !quantized) {
    Preflight preflight;
    note(run, preflight, {"levels", false, quantized.error().message, quantized.error().code});
    return preflight;
  }
  return run_audits(run, CausalityCuts::kOne);
}

Preflight audit_score(Run& run) { return run_audits(run, CausalityCuts::kThree); }

int64_t evaluation_batch(const Job& job) {
  return job.train.device == "cuda" ? std::min<int64_t>(job.train.micro_batch, kGpuSequences)
                                    : job.train.micro_batch;
}

EvalOptions score_options(const Job& job, bool reversed) {
  return {.batches = 0,
          .batch = evaluation_batch(job),
          .window = job.window(),
          .reversed = reversed,
          .guarded = true,
          .reorder_rows = !job.rules.paper_compat,
          .order_seed = std::hash<std::string>{}(job.nonce + job.kind)};
}

std::optional<CodeShares> code_shares(const Run& run) {
  double negative = 0, zero = 0, all = 0;
  if (!run.quantizer || run.quantizer->format().codebook_entries > 0) return std::nullopt;
  for (const BitLinear* layer : run.model->bitlinears()) {
    const Operand& operand = layer->weight_operand;
    const at::Tensor& codes = operand.codes.defined() ? operand.codes : operand.codes_int8;
    if (!codes.defined()) return std::nullopt;
    negative += codes.lt(0).sum().item<double>();
    zero += codes.eq(0).sum().item<double>();
    all += static_cast<double>(codes.numel());
  }
  return CodeShares{negative / all, zero / all, 1.0 - (negative + zero) / all};
}

}  // namespace bitloop::trainer
