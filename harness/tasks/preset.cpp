#include "harness/tasks/preset.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "harness/base/fd.h"
#include "harness/base/text.h"
#include "harness/tasks/ranks.h"

namespace bitloop::tasks {
namespace {

using Json = nlohmann::json;

constexpr double kAny = std::numeric_limits<double>::infinity();
constexpr double kMany = 1e12;  // counts: far beyond any run, far below what a double holds exactly
constexpr size_t kMaxPresetBytes = size_t{1} << 20;
constexpr size_t kNearest = 3;

constexpr PresetKey kKeys[] = {
#define INTEGER(key, required, low, high, unit, doc) \
  { key, KeyType::kInteger, required, low, high, "", unit, doc }
#define NUMBER(key, required, low, high, unit, doc) \
  { key, KeyType::kNumber, required, low, high, "", unit, doc }
#define TEXT(key, required, choices, doc) \
  { key, KeyType::kText, required, -kAny, kAny, choices, "", doc }
    TEXT("name", true, "", "the file's name without .json"),
    TEXT("description", true, "", "one sentence"),
    TEXT("model.architecture", true, "gpt2|llama", "`gpt2` or `llama`"),
    INTEGER("model.vocab_size", true, 2, 65536, "tokens", "ids that occur in the data"),
    INTEGER("model.padded_vocab_size", true, 2, 131072, "tokens",
            "rows of the embedding: vocab_size rounded up"),
    INTEGER("model.context", true, 1, 65536, "tokens", "length of a sequence"),
    INTEGER("model.layers", true, 1, 1024, "", "blocks"),
    INTEGER("model.heads", true, 1, 1024, "", "attention heads; divides width"),
    INTEGER("model.kv_heads", false, 1, 1024, "",
            "llama: heads of keys and values; divides heads; absent: as many as heads"),
    INTEGER("model.width", true, 1, 65536, "", "of the residual stream"),
    INTEGER("model.ffn_width", false, 1, 1048576, "",
            "llama: hidden width of the feed-forward part; gpt2 has 4 x width"),
    {"model.tied_head", KeyType::kBoolean, false, -kAny, kAny, "", "",
     "llama: the head's weight is the token embedding (the default; gpt2's always is)"},
    NUMBER("model.rope_theta", false, 2, 1e12, "",
           "llama: base of the rotary positions' wavelengths (default 10,000)"),
    NUMBER("model.norm_epsilon", false, 1e-12, 0.1, "",
           "llama: added to the mean square in RMSNorm (default 1e-5)"),
    {"model.bias", KeyType::kBoolean, true, -kAny, kAny, "", "",
     "biases in linear layers and LayerNorm"},
    TEXT("data.format", true, "bytes|tokens16|llmc",
         "`bytes` (a folder of text), `tokens16` (headerless little-endian uint16) or `llmc` "
         "(shards with llm.c's header)"),
    TEXT("data.path", true, "",
         "below the data folder, or absolute; `*` in a file's name for llmc: all those shards in "
         "the "
         "order of their names"),
    TEXT("data.val_path", false, "", "validation file; required but for bytes"),
    INTEGER("data.validation.first", false, 1, kMany, "files",
            "bytes: the first file, counted from 1 in sorted order, that is validation"),
    INTEGER("data.validation.every", false, 2, kMany, "files",
            "bytes: and every such one after it"),
    INTEGER("train.steps", true, 1, kMany, "steps", "optimiser steps"),
    INTEGER("train.batch", true, 1, kMany, "sequences", "per optimiser step, over all ranks"),
    INTEGER("train.micro_batch", true, 1, kMany, "sequences",
            "per forward pass; divides batch (the rest is gradient accumulation)"),
    INTEGER(
        "train.ranks", false, 1, 16, "processes",
        "that train together, each with an equal part of the batch (default 1); with a preset's "
        "own number there are no more of them than GPUs"),
    INTEGER("train.sequence", false, 1, 65536, "tokens",
            "of a training sequence, at most `model.context`, which it is by default"),
    TEXT("train.schedule", false, "cosine|constant",
         "of the rate after its warm-up: `cosine` (the default) down to min_lr, or `constant`"),
    NUMBER("train.learning_rate", true, 0, 10, "per step", "the peak of the schedule"),
    NUMBER("train.min_lr", true, 0, 10, "per step", "the end of the cosine"),
    INTEGER("train.warmup_iters", true, 0, kMany, "steps", "linear warm-up"),
    NUMBER("train.weight_decay", true, 0, 10, "", "AdamW's, on matrices only"),
    NUMBER("train.beta1", true, 0, 0.99999, "", "AdamW's first moment"),
    NUMBER("train.beta2", true, 0, 0.9999999, "", "AdamW's second moment"),
    NUMBER("train.grad_clip", true, 0, 1e9, "", "largest norm of the gradient; 0: no clipping"),
    TEXT("train.precision", true, "float32|bfloat16",
         "of the training products: `float32` or `bfloat16`"),
    TEXT("train.input_gradients", false, "bfloat16|int8",
         "`int8`: fused steps of layers with integer products round rows of dL/dy to 255 levels "
         "and make dL/dx of int8 (on a GPU but for the MLP's second layer), which is not quite the "
         "same training (bench/README.md has both); `bfloat16` is the default"),
    TEXT("train.execution", false, "fused|eager",
         "of bfloat16 training steps on the CPU: `fused` (the default) or `eager`, the slower path "
         "that fused steps are checked against"),
    TEXT(
        "train.device", false, "cpu|cuda|auto",
        "`cpu` (the default), `cuda` (the first NVIDIA GPU) or `auto`: the GPU where there is one"),
    INTEGER("train.seed", true, 0, 9007199254740991, "", "initial weights and order of the data"),
    TEXT("qat.lambda", false, "none|linear|cosine|plateau",
         "the share of quantisation over the steps, where the candidate has no `lambda`: `none` (1 "
         "throughout, the default), `linear` or `cosine` over qat.ramp steps, or `plateau`: "
         "qat.rise more each qat.every steps"),
    INTEGER("qat.delay", false, 0, kMany, "steps", "trained without quantisation before that"),
    INTEGER("qat.ramp", false, 0, kMany, "steps", "in which linear and cosine reach qat.max"),
    NUMBER("qat.rise", false, 1e-6, 1, "", "plateau: how much lambda rises at once (0.05)"),
    INTEGER("qat.every", false, 1, kMany, "steps", "plateau: between two rises (500)"),
    NUMBER("qat.max", false, 1e-6, 1, "",
           "the highest lambda while training (1); scores are made at 1 always"),
    INTEGER("eval.every", true, 1, kMany, "steps", "between evaluations while training"),
    INTEGER("eval.batches", true, 1, kMany, "micro-batches", "in such an evaluation"),
    INTEGER("eval.log_every", true, 1, kMany, "steps", "between lines of log.tsv"),
    INTEGER("eval.window", false, 1, 65536, "tokens",
            "of a scored window, at most `model.context`, which it is by default"),
    INTEGER("eval.documents", false, 0, kMany, "documents",
            "of each of the task's benchmarks at most, for a test of bitloop itself; 0: all"),
    INTEGER("checkpoint.every", false, 0, kMany, "steps",
            "between checkpoints, from which a run that was killed goes on; 0 (the default): none"),
    INTEGER("checkpoint.keep", false, 1, 1000, "files",
            "whole checkpoints kept while it runs (default 2); one more is being written"),
    INTEGER("limits.deadline_s", true, 1, 31536000, "s", "wall time, after which the run is ended"),
    INTEGER("limits.memory_mb", true, 64, 16777216, "MiB", "of the jail"),
    INTEGER("limits.threads", true, 1, 1024, "threads", "of the trainer's products"),
    INTEGER("limits.rank_wait_s", false, 1, 86400, "s",
            "that ranks wait for one that does not come, before they end the run (default 300)"),
    INTEGER("limits.output_mb", true, 1, 16777216, "MiB", "that the run may write"),
#undef INTEGER
#undef NUMBER
#undef TEXT
};

const PresetKey* find_key(std::string_view key) {
  const auto* found =
      std::ranges::find(kKeys, key, [](const PresetKey& k) { return std::string_view(k.key); });
  return found == std::end(kKeys) ? nullptr : found;
}

bool is_group(std::string_view key) {
  return std::ranges::any_of(kKeys, [&](const PresetKey& k) {
    return std::string_view(k.key).starts_with(std::string(key) + ".");
  });
}

// "/train/learning_rate" for "train.learning_rate".
Json::json_pointer pointer(std::string_view key) {
  std::string text = fmt::format("/{}", key);
  std::ranges::replace(text, '.', '/');
  return Json::json_pointer(text);
}

std::string show(const Json& value) {
  return single_line(value.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 100));
}

// What is wrong with the value, "" when nothing is.
std::string complaint(const PresetKey& key, const Json& value) {
  auto wanted = [&](std::string_view what) {
    return fmt::format("{} must be {}, got {}", key.key, what, show(value));
  };
  switch (key.type) {
    case KeyType::kBoolean:
      return value.is_boolean() ? "" : wanted("true or false");
    case KeyType::kText: {
      if (!value.is_string() || value.get<std::string>().empty()) return wanted("text");
      const std::string text = value.get<std::string>();
      if (text.find('\0') != std::string::npos || single_line(text) != text)
        return wanted("text of one line");
      const std::vector<std::string> choices = split(key.choices, '|');
      if (*key.choices && std::ranges::find(choices, text) == choices.end())
        return wanted("one of " + join(choices, ", "));
      return "";
    }
    case KeyType::kInteger:
      if (!value.is_number_integer()) return wanted("a whole number");
      break;
    case KeyType::kNumber:
      if (!value.is_number()) return wanted("a number");
      break;
  }
  const double number = value.get<double>();
  if (std::isfinite(number) && number >= key.low && number <= key.high) return "";
  return wanted(fmt::format("{} … {}", format_number(key.low), format_number(key.high)));
}

// Keys of `object` that the table does not have.
std::optional<std::string> unknown_key(const Json& object, const std::string& prefix) {
  for (const auto& [name, value] : object.items()) {
    const std::string key = prefix + name;
    if (find_key(key)) continue;
    if (!is_group(key) || !value.is_object()) return key;
    if (auto inner = unknown_key(value, key + ".")) return inner;
  }
  return std::nullopt;
}

// Rules about several keys. Requires: every required key is there and of its type.
std::string contradiction(const Json& preset) {
  const Json& model = preset["model"];
  const Json& train = preset["train"];
  const Json& data = preset["data"];
  auto whole = [](const Json& value) { return value.get<int64_t>(); };
  if (whole(model["width"]) % whole(model["heads"]) != 0)
    return "model.heads must divide model.width";
  if (model.contains("kv_heads") && whole(model["heads"]) % whole(model["kv_heads"]) != 0)
    return "model.kv_heads must divide model.heads";
  if (whole(model["padded_vocab_size"]) < whole(model["vocab_size"]))
    return "model.padded_vocab_size must be at least model.vocab_size";
  const bool llama = model["architecture"] == "llama";
  if (llama && !model.contains("ffn_width")) return "model.ffn_width is missing (llama needs it)";
  for (const char* key : {"ffn_width", "kv_heads", "tied_head", "rope_theta", "norm_epsilon"})
    if (!llama && model.contains(key))
      return fmt::format("model.{} belongs to architecture llama", key);
  if (llama && whole(model["width"]) / whole(model["heads"]) % 2 != 0)
    return "model.width / model.heads must be even: rotary positions turn pairs";
  const int64_t context = whole(model["context"]);
  if (train.contains("sequence") && whole(train["sequence"]) > context)
    return "train.sequence must not exceed model.context";
  if (preset["eval"].contains("window") && whole(preset["eval"]["window"]) > context)
    return "eval.window must not exceed model.context";
  const bool bytes = data["format"] == "bytes";
  if (bytes && whole(model["vocab_size"]) != 256)
    return "model.vocab_size must be 256 where data.format is bytes";
  if (bytes && !(data.contains("validation") && data["validation"].contains("first") &&
                 data["validation"].contains("every")))
    return "data.validation.first and .every are missing (format bytes is split by them)";
  if (!bytes && !data.contains("val_path"))
    return "data.val_path is missing: name the validation file with --set data.val_path=FILE";
  if (!bytes && data.contains("validation"))
    return "data.validation belongs to format bytes; use data.val_path";
  if (whole(train["batch"]) % whole(train["micro_batch"]) != 0)
    return "train.micro_batch must divide train.batch";
  if (whole(train["batch"]) % train.value("ranks", int64_t{1}) != 0)
    return fmt::format("train.ranks must divide train.batch ({} sequences a step)",
                       whole(train["batch"]));
  if (train["min_lr"].get<double>() > train["learning_rate"].get<double>())
    return "train.min_lr must not exceed train.learning_rate";
  return "";
}

// The keys most like `wanted`. A bare last part ("learning_rate") counts as the whole.
std::vector<std::string> nearest_keys(std::string_view wanted) {
  std::vector<std::pair<size_t, std::string>> ranked;
  for (const PresetKey& key : kKeys) {
    const std::string_view whole = key.key;
    if (whole.find('.') == std::string_view::npos) continue;  // name, description
    const std::string_view last = whole.substr(whole.rfind('.') + 1);
    ranked.emplace_back(std::min(edit_distance(wanted, whole), edit_distance(wanted, last)), whole);
  }
  std::ranges::sort(ranked);
  std::vector<std::string> keys;
  for (size_t i = 0; i < std::min(kNearest, ranked.size()); ++i) keys.push_back(ranked[i].second);
  return keys;
}

// The value as `--set` writes it; null when it does not read as the key's type.
Json read_value(const PresetKey& key, const std::string& text) {
  if (key.type == KeyType::kText) return text;
  Json value = Json::parse(text, nullptr, false);
  if (value.is_discarded() || !value.is_primitive()) return nullptr;
  if (key.type == KeyType::kInteger && value.is_number_float()) {
    const double number = value.get<double>();  // 1e4 is a whole number to people
    if (number == std::floor(number) && std::abs(number) < 9e15)
      return static_cast<int64_t>(number);
  }
  return value;
}

}  // namespace

std::span<const PresetKey> preset_keys() { return kKeys; }

Status check_preset(const Json& preset, std::string_view where) {
  auto bad = [&](std::string_view what) {
    return fail("bad_preset", fmt::format("{}: {}", where, what));
  };
  if (!preset.is_object()) return bad("a preset must be a JSON object");
  if (const auto key = unknown_key(preset, ""))
    return bad(fmt::format("unknown key {}", single_line(*key)));
  for (const PresetKey& key : kKeys) {
    const Json::json_pointer at = pointer(key.key);
    if (!preset.contains(at)) {
      if (key.required) return bad(fmt::format("{} is missing", key.key));
      continue;
    }
    if (const std::string what = complaint(key, preset[at]); !what.empty()) return bad(what);
  }
  if (const std::string what = contradiction(preset); !what.empty()) return bad(what);
  return {};
}

Result<std::vector<std::string>> preset_names(const std::filesystem::path& share_dir) {
  const std::filesystem::path folder = share_dir / "presets";
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error))
    if (entry->path().extension() == ".json") names.push_back(entry->path().stem().string());
  if (error) return std::unexpected(errno_error(folder.string(), error.value()));
  std::ranges::sort(names);
  return names;
}

Result<Json> load_preset(const std::filesystem::path& share_dir, std::string_view name) {
  BITLOOP_ASSIGN(names, preset_names(share_dir));
  if (std::ranges::find(names, name) == names.end())
    return fail("unknown_preset", fmt::format("there is no preset '{}'; there are {}",
                                              single_line(name.substr(0, 100)), join(names, ", ")));
  const std::filesystem::path file = share_dir / "presets" / (std::string(name) + ".json");
  BITLOOP_ASSIGN(text, read_file(file, kMaxPresetBytes));
  Json preset = Json::parse(text, nullptr, false);
  if (preset.is_discarded())
    return fail("bad_preset", fmt::format("{}: not valid JSON", file.string()));
  BITLOOP_TRY(check_preset(preset, file.string()));
  if (preset["name"] != name)
    return fail("bad_preset", fmt::format("{}: name must be '{}', got {}", file.string(), name,
                                          show(preset["name"])));
  return settle_ranks(std::move(preset), gpus_here());
}

Status apply_override(Json& preset, std::string_view assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string_view::npos || equals == 0)
    return fail("bad_override", fmt::format("--set {}: write key=value, as in "
                                            "train.learning_rate=0.003",
                                            single_line(assignment.substr(0, 200))));
  const std::string_view name = assignment.substr(0, equals);
  const std::string value_text(assignment.substr(equals + 1));
  const PresetKey* key = find_key(name);
  if (!key || name.find('.') == std::string_view::npos)
    return fail("unknown_key", fmt::format("--set {}: no such key; did you mean {}?",
                                           single_line(name.substr(0, 100)),
                                           join(nearest_keys(name.substr(0, 100)), ", ")));
  const Json value = read_value(*key, value_text);
  if (value.is_null())
    return fail("bad_value", fmt::format("--set {}: '{}' does not read as a value", key->key,
                                         single_line(value_text.substr(0, 100))));
  if (const std::string what = complaint(*key, value); !what.empty())
    return fail("bad_value", fmt::format("--set: {}", what));
  preset[pointer(key->key)] = value;
  return {};
}

}  // namespace bitloop::tasks
