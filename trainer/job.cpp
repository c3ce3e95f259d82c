#include "trainer/job.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "harness/base/fd.h"
#include "harness/base/text.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;

constexpr size_t kMaxCandidateDocument = size_t{64} << 20;

// As T. Throws json::exception for another type; a fraction is no whole number, however large (the
// library's own conversion of such a one has no defined result).
template <typename T>
T value_of(const json& value) {
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>)
    if (!value.is_number_integer())
      throw json::type_error::create(302, "a whole number is wanted", &value);
  return value.get<T>();
}

template <typename T>
void read(const json& object, const char* key, T& value) {
  if (const auto found = object.find(key); found != object.end()) value = value_of<T>(*found);
}
template <typename T>
void read_needed(const json& object, const char* key, T& value) {
  value = value_of<T>(object.at(key));
}

void read_candidate(const json& object, Job& job) {
  object.at("path").get_to(job.candidate_path);
  object.at("content").get_to(job.candidate);
}

void read_early_stop(const json& object, EarlyStop& stop) {
  object.at("baseline").get_to(stop.baseline);
  read_needed(object, "consecutive", stop.consecutive);
  for (const json& limit : object.at("limits"))
    stop.limits[value_of<int64_t>(limit.at(0))] = {limit.at(1).get<double>(),
                                                   limit.at(2).get<double>()};
}

void read_ranks(const json& object, RankConfig& ranks) {
  read_needed(object, "rank", ranks.rank);
  read_needed(object, "count", ranks.count);
  read(object, "links", ranks.links);
  read(object, "memory_fd", ranks.memory_fd);
  read(object, "memory_bytes", ranks.memory_bytes);
  read(object, "wait_s", ranks.wait_s);
  read(object, "address", ranks.address);
  read(object, "port", ranks.port);
  read(object, "store_is_there", ranks.store_is_there);
  read(object, "own_address", ranks.own_address);
  read(object, "local_rank", ranks.local_rank);
  read(object, "meeting", ranks.meeting);
}

Status validate(const Job& job) {
  const ModelConfig& m = job.model;
  const TrainConfig& t = job.train;
  const auto require = [](bool holds, std::string what) -> Status {
    if (!holds) return fail("bad_job", std::move(what));
    return {};
  };
  constexpr std::string_view kKinds[] = {"train", "check", "verify", "quantize", "profile"};
  BITLOOP_TRY(require(
      std::ranges::find(kKinds, job.kind) != std::end(kKinds),
      fmt::format("kind must be train, check, verify, quantize or profile, got '{}'", job.kind)));
  BITLOOP_TRY(require(job.candidate_fd < 0 || job.kind == "check",
                      "only a check may come without its candidate"));
  BITLOOP_TRY(
      require(m.architecture == "gpt2" || m.architecture == "llama",
              fmt::format("model.architecture must be gpt2 or llama, got '{}'", m.architecture)));
  BITLOOP_TRY(require(m.layers > 0 && m.heads > 0 && m.width > 0 && m.context > 0,
                      "model sizes must be positive"));
  // What is computed of them must not overflow, whoever wrote the job.
  constexpr int64_t kLargest = 1 << 24;
  BITLOOP_TRY(require(m.layers <= kLargest && m.width <= kLargest && m.context <= kLargest &&
                          m.padded_vocab_size <= kLargest && m.ffn_width <= kLargest,
                      fmt::format("model sizes must be at most {}", kLargest)));
  BITLOOP_TRY(
      require(m.width % m.heads == 0,
              fmt::format("model.width {} is not a multiple of model.heads {}", m.width, m.heads)));
  if (m.is_llama()) {
    BITLOOP_TRY(require(
        m.kv_heads >= 0 && m.ffn_width >= 0 && m.heads % m.key_heads() == 0,
        fmt::format("model.kv_heads {} does not divide model.heads {}", m.kv_heads, m.heads)));
    BITLOOP_TRY(require(m.width / m.heads % 2 == 0,
                        fmt::format("model.width / model.heads is {}: rotary positions need an "
                                    "even number",
                                    m.width / m.heads)));
    BITLOOP_TRY(require(m.rope_theta > 1 && m.norm_epsilon > 0,
                        "model.rope_theta must be above 1, model.norm_epsilon above 0"));
  } else {
    BITLOOP_TRY(require(m.key_heads() == m.heads && m.hidden_width() == 4 * m.width && m.tied_head,
                        "kv_heads, ffn_width and an untied head belong to architecture llama"));
  }
  BITLOOP_TRY(require(m.padded_vocab_size >= m.vocab_size && m.vocab_size > 0,
                      "model.padded_vocab_size must be at least model.vocab_size"));
  BITLOOP_TRY(
      require(t.steps > 0 && t.batch > 0 && t.micro_batch > 0 && t.batch % t.micro_batch == 0,
              fmt::format("train.batch {} must be a multiple of train.micro_batch {}", t.batch,
                          t.micro_batch)));
  BITLOOP_TRY(require(
      job.sequence() <= m.context && t.sequence >= 0,
      fmt::format("train.sequence {} is longer than model.context {}", t.sequence, m.context)));
  BITLOOP_TRY(
      require(t.schedule == "cosine" || t.schedule == "constant",
              fmt::format("train.schedule must be cosine or constant, got '{}'", t.schedule)));
  const QatConfig& q = job.qat;
  BITLOOP_TRY(require(
      q.lambda == "none" || q.lambda == "linear" || q.lambda == "cosine" || q.lambda == "plateau",
      fmt::format("qat.lambda must be none, linear, cosine or plateau, got '{}'", q.lambda)));
  BITLOOP_TRY(
      require(q.delay >= 0 && q.ramp >= 0 && q.every > 0 && q.rise > 0 && q.max > 0 && q.max <= 1,
              "qat.delay and qat.ramp must not be negative, qat.every and qat.rise be "
              "positive, qat.max be above 0 and at most 1"));
  BITLOOP_TRY(
      require(t.precision == "bfloat16" || t.precision == "float32",
              fmt::format("train.precision must be bfloat16 or float32, got '{}'", t.precision)));
  BITLOOP_TRY(require(
      t.input_gradients == "bfloat16" || (t.input_gradients == "int8" && t.precision == "bfloat16"),
      fmt::format("train.input_gradients must be bfloat16 or, with train.precision bfloat16, int8; "
                  "got '{}'",
                  t.input_gradients)));
  BITLOOP_TRY(
      require(t.execution == "fused" || t.execution == "eager",
              fmt::format("train.execution must be fused or eager, got '{}'", t.execution)));
  BITLOOP_TRY(require(t.device == "cpu" || t.device == "cuda" || t.device == "auto",
                      fmt::format("train.device must be cpu, cuda or auto, got '{}'", t.device)));
  BITLOOP_TRY(require(
      job.eval.window >= 0 && job.window() <= m.context,
      fmt::format("eval.window {} is longer than model.context {}", job.eval.window, m.context)));
  BITLOOP_TRY(require(job.eval.batches > 0 && job.eval.log_every > 0 && job.eval.every >= 0,
                      "eval.batches and eval.log_every must be positive"));
  BITLOOP_TRY(
      require(job.checkpoint.every >= 0 && job.checkpoint.keep >= 1 && job.checkpoint.keep <= 1000,
              "checkpoint.every must not be negative, checkpoint.keep be 1 to 1000"));
  BITLOOP_TRY(require(job.profile_steps >= 0 && job.profile_steps <= 10'000 &&
                          (job.kind == "profile") == (job.profile_steps > 0),
                      "a profile has 1 to 10000 profile_steps, and no other job has any"));
  const RankConfig& r = job.ranks;
  BITLOOP_TRY(require(r.count >= 1 && r.rank >= 0 && r.rank < r.count && r.wait_s > 0,
                      fmt::format("rank {} of {} is none", r.rank, r.count)));
  BITLOOP_TRY(
      require(t.batch % r.count == 0,
              fmt::format("train.batch {} is not a multiple of {} ranks", t.batch, r.count)));
  return require(job.threads > 0 && job.threads <= 1024,
                 "limits.threads must be between 1 and 1024");
}

}  // namespace

int64_t Job::micro_batch() const {
  const int64_t share = train.batch / ranks.count;
  int64_t B = std::min(train.micro_batch, share);
  while (share % B != 0) --B;
  return B;
}

Result<Job> parse_job(const std::string& text) {
  Job job;
  try {
    const json document = json::parse(text);
    if (document.at("schema_version") != 1)
      return fail("bad_job",
                  "schema_version must be 1: supervisor and trainer are of different versions");
    read(document, "kind", job.kind);
    read(document, "nonce", job.nonce);
    if (document.at("candidate").is_null())
      read_needed(document, "candidate_fd", job.candidate_fd);
    else
      read_candidate(document.at("candidate"), job);
    document.at("data_dir").get_to(job.data_dir);

    const json& preset = document.at("preset");
    job.config = preset;
    read(preset, "name", job.preset_name);
    const json& model = preset.at("model");
    read(model, "architecture", job.model.architecture);
    read(model, "vocab_size", job.model.vocab_size);
    read(model, "padded_vocab_size", job.model.padded_vocab_size);
    read(model, "context", job.model.context);
    read(model, "layers", job.model.layers);
    read(model, "heads", job.model.heads);
    read(model, "width", job.model.width);
    read(model, "bias", job.model.bias);
    read(model, "kv_heads", job.model.kv_heads);
    read(model, "ffn_width", job.model.ffn_width);
    read(model, "tied_head", job.model.tied_head);
    read(model, "rope_theta", job.model.rope_theta);
    read(model, "norm_epsilon", job.model.norm_epsilon);
    const json& data = preset.at("data");
    read(data, "format", job.data.format);
    read(data, "path", job.data.path);
    read(data, "val_path", job.data.val_path);
    if (document.contains("data_files") && document.at("data_files").is_object()) {
      read(document.at("data_files"), "path", job.data.files);
      read(document.at("data_files"), "val_path", job.data.val_files);
    }
    if (data.contains("validation")) {
      read(data.at("validation"), "first", job.data.validation_first);
      read(data.at("validation"), "every", job.data.validation_every);
    }
    const json& train = preset.at("train");
    read(train, "steps", job.train.steps);
    read(train, "batch", job.train.batch);
    read(train, "micro_batch", job.train.micro_batch);
    read(train, "sequence", job.train.sequence);
    read(train, "schedule", job.train.schedule);
    read(train, "learning_rate", job.train.learning_rate);
    read(train, "min_lr", job.train.min_lr);
    read(train, "warmup_iters", job.train.warmup_iters);
    read(train, "weight_decay", job.train.weight_decay);
    read(train, "beta1", job.train.beta1);
    read(train, "beta2", job.train.beta2);
    read(train, "grad_clip", job.train.grad_clip);
    read(train, "precision", job.train.precision);
    read(train, "input_gradients", job.train.input_gradients);
    read(train, "execution", job.train.execution);
    read(train, "device", job.train.device);
    read_needed(document, "seed", job.train.seed);
    if (const auto qat = preset.find("qat"); qat != preset.end()) {
      read(*qat, "lambda", job.qat.lambda);
      read(*qat, "delay", job.qat.delay);
      read(*qat, "ramp", job.qat.ramp);
      read(*qat, "rise", job.qat.rise);
      read(*qat, "every", job.qat.every);
      read(*qat, "max", job.qat.max);
    }
    const json& eval = preset.at("eval");
    read(eval, "every", job.eval.every);
    read(eval, "batches", job.eval.batches);
    read(eval, "log_every", job.eval.log_every);
    read(eval, "window", job.eval.window);
    if (preset.contains("checkpoint")) {
      read(preset.at("checkpoint"), "every", job.checkpoint.every);
      read(preset.at("checkpoint"), "keep", job.checkpoint.keep);
    }
    read(document, "resume", job.resume);
    if (preset.contains("limits")) read(preset.at("limits"), "threads", job.threads);

    if (document.contains("ranks")) read_ranks(document.at("ranks"), job.ranks);
    if (job.ranks.count > 1) job.threads = std::max<int64_t>(1, job.threads / job.ranks.count);

    read(document, "benchmarks", job.benchmarks);
    read(document, "init_from", job.init_from);
    read(document, "profile_steps", job.profile_steps);
    if (const auto stop = document.find("early_stop"); stop != document.end() && !stop->is_null())
      read_early_stop(*stop, job.early_stop);
    if (const auto rules = document.find("rules"); rules != document.end()) {
      read(*rules, "quantize_head", job.rules.quantize_head);
      read(*rules, "paper_compat", job.rules.paper_compat);
      if (rules->contains("allowed_config"))
        for (const auto& [key, bounds] : rules->at("allowed_config").items())
          job.rules.allowed_config[key] = {bounds.at(0).get<double>(), bounds.at(1).get<double>()};
    }
  } catch (const json::exception& error) {
    return fail("bad_job", fmt::format("the job document can't be read: {}", error.what()));
  }
  BITLOOP_TRY(validate(job));
  return job;
}

Status receive_candidate(Job& job) {
  const auto text = read_all(job.candidate_fd, kMaxCandidateDocument);
  ::close(job.candidate_fd);
  job.candidate_fd = -1;
  if (!text) return std::unexpected(text.error());
  if (text->empty()) return fail("no_candidate", "no candidate came");
  try {
    read_candidate(json::parse(*text), job);
  } catch (const json::exception& error) {
    return fail("bad_job", fmt::format("the candidate's document can't be read: {}", error.what()));
  }
  return {};
}

Status apply_overrides(const nlohmann::json& overrides, const Rules& rules, TrainConfig& train) {
  const std::map<std::string, double*> reals = {{"learning_rate", &train.learning_rate},
                                                {"min_lr", &train.min_lr},
                                                {"weight_decay", &train.weight_decay},
                                                {"beta1", &train.beta1},
                                                {"beta2", &train.beta2},
                                                {"grad_clip", &train.grad_clip}};
  if (overrides.is_null()) return {};
  for (const auto& [key, value] : overrides.items()) {
    const auto bounds = rules.allowed_config.find(key);
    if (bounds == rules.allowed_config.end()) {
      std::vector<std::string> allowed;
      for (const auto& entry : rules.allowed_config) allowed.push_back(entry.first);
      return fail("rejected",
                  fmt::format("config: '{}' may not be set in this task; allowed are {}", key,
                              allowed.empty() ? "none" : join(allowed, ", ")));
    }
    const auto [low, high] = bounds->second;
    if (!value.is_number() || !std::isfinite(value.get<double>()))
      return fail("rejected", fmt::format("config: {} must be a finite number", key));
    const double number = value.get<double>();
    if (number < low || number > high)
      return fail("rejected",
                  fmt::format("config: {} = {} is out of bounds; this task allows {} to {}", key,
                              number, low, high));
    if (key == "warmup_iters") {
      if (number != std::floor(number))
        return fail("rejected",
                    fmt::format("config: warmup_iters must be a whole number, got {}", number));
      train.warmup_iters = static_cast<int64_t>(number);
    } else if (const auto real = reals.find(key); real != reals.end()) {
      *real->second = number;
    } else {
      return fail("rejected", fmt::format("config: '{}' is not a setting of this trainer", key));
    }
  }
  if (train.min_lr > train.learning_rate) train.min_lr = train.learning_rate;
  return {};
}

}  // namespace bitloop::trainer
