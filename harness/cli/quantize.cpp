// `bitloop quantize`: what quantisation costs a trained model without any training, in one table
// with what training made of it.
#include <fmt/format.h>

#include <atomic>
#include <cmath>
#include <csignal>
#include <memory>

#include "harness/base/fd.h"
#include "harness/base/paths.h"
#include "harness/base/temporary_folder.h"
#include "harness/base/text.h"
#include "harness/cli/commands.h"
#include "harness/cli/common.h"
#include "harness/cli/quantize_texts.h"
#include "harness/jobs/run_now.h"
#include "harness/sessions/job.h"
#include "harness/sessions/report.h"
#include "harness/tasks/initial_model.h"

namespace bitloop::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::string_view kPrefix = "bitloop-quantize-";
constexpr const char* kPacked = "output/packed.safetensors";
constexpr int64_t kGraceMs = 60'000;  // beside the run's own deadline

struct QuantizeOptions {
  std::string model;
  std::vector<std::string> files, beside, tokens;
  std::string preset, workspace, output;
  Overrides overrides;
  bool json = false;
  bool allow_degraded = false;
};

std::atomic<bool> interrupted{false};

tasks::ModelPlaces places_of(const QuantizeOptions& options) {
  std::error_code failed;
  return {{fs::current_path(failed)}, choose_workspace(options.workspace)};
}

// The preset that --preset names, else that of the model's own run, else quick.
Status find_preset(const QuantizeOptions& options, Target& target) {
  const auto job = tasks::job_of_model(options.model, places_of(options));
  const bool own = options.preset.empty() && job.is_object();
  std::string name = options.preset.empty() ? "quick" : options.preset;
  if (own) name = job["preset"].value("name", name);
  BITLOOP_TRY(find_target(name, target));
  if (own) target.preset = job["preset"];
  BITLOOP_TRY(apply_overrides(options.overrides, target.preset));
  return find_initial_model(options.model, choose_workspace(options.workspace), target);
}

// A row of metrics, with the difference to the float model's loss.
Json row_of(const std::string& name, const char* kind, const std::string& status,
            const Json& metrics, const Json& float_loss) {
  const Json loss = metrics.value("val_loss", Json());
  Json row = {{"name", name}, {"kind", kind}, {"status", status}, {"val_loss", loss}};
  row["val_ppl"] = loss.is_number() ? Json(std::exp(loss.get<double>())) : Json();
  for (const char* member : {"val_bpb", "bits_per_weight", "packed_bits_per_weight"})
    row[member] = metrics.value(member, Json());
  row["difference"] = loss.is_number() && float_loss.is_number()
                          ? Json(loss.get<double>() - float_loss.get<double>())
                          : Json();
  for (const char* member : {"quant_err_rms", "cb_utilization", "dead_frac"})
    if (metrics.contains(member)) row[member] = metrics[member];
  return row;
}

// Quantises and scores with one file; the packed model lies in `folder` afterwards.
Result<jobs::Verdict> quantize(const QuantizeOptions& options, const Target& target,
                               const fs::path& folder) {
  const auto job = sessions::make_job(
      {"quantize", "local", 0, target.candidate, target.task, target.preset,
       sessions::default_seed(target.task, target.preset), share_dir(), options.allow_degraded});
  const int64_t deadline_s = target.preset["limits"].value("deadline_s", int64_t{86'400});
  const auto timeout = static_cast<int>(std::min<int64_t>(deadline_s * 1000 + kGraceMs, INT32_MAX));
  jobs::Verdict verdict = jobs::run_now(folder, job, timeout, &interrupted);
  if (interrupted) return fail("interrupted", "The quantisation was interrupted.");
  if (verdict.status == sessions::kInfrastructure) {
    const size_t at = verdict.message.find("init_from: ");
    if (at != std::string::npos) return fail("bad_weights", verdict.message.substr(at));
    return fail("infrastructure", verdict.message);
  }
  return verdict;
}

// A run of the workspace, or the folder of one, as a row: how it was scored after training.
Result<Json> row_beside(const QuantizeOptions& options, const std::string& given,
                        const Json& float_loss) {
  const fs::path run = tasks::run_of_model(given, places_of(options));
  const auto verdict = Json::parse(read_file(run / "verdict.json").value_or(""), nullptr, false);
  if (run.empty() || !verdict.is_object() || !verdict.contains("result") ||
      !verdict["result"].is_object())
    return fail("wrong_usage",
                fmt::format("--beside {}: there is no finished run of that name or in that folder",
                            single_line(given)));
  const Json metrics = verdict["result"].value("metrics", Json::object());
  const std::string name = metrics.value("quantizer", Json("?")).get<std::string>();
  Json row = row_of(name, "trained", verdict.value("status", "?"), metrics, float_loss);
  row["run"] = given;
  return row;
}

// Scores a row's model on the further texts.
Status add_texts(const QuantizeOptions& options, const fs::path& model, const Json& preset,
                 const std::vector<NamedText>& texts, Json& row) {
  if (texts.empty()) return {};
  BITLOOP_ASSIGN(scores, score_texts(model, texts, preset, options.allow_degraded));
  row["tokens"] = std::move(scores);
  if (interrupted) return fail("interrupted", "The quantisation was interrupted.");
  return {};
}

// The model as it came, packed, in a folder of its own.
Result<fs::path> pack_float(const QuantizeOptions& options, Target target, const fs::path& folder) {
  BITLOOP_ASSIGN(candidate, read_file(share_dir() / "quantizers" / "float.lua"));
  target.candidate = std::move(candidate);
  BITLOOP_ASSIGN(verdict, quantize(options, target, folder));
  if (verdict.status != "ok") return fail("infrastructure", verdict.message);
  return folder / kPacked;
}

size_t width_of(const NamedText& text) { return std::max<size_t>(9, text.name.size()); }

void print_table(const Json& rows, const std::vector<NamedText>& texts) {
  const auto number = [](const Json& value, const char* format) {
    return value.is_number() ? fmt::format(fmt::runtime(format), value.get<double>()) : "-";
  };
  fmt::print("{:<20} {:<18} {:>8} {:>9} {:>9} {:>10}", "model", "how", "bits", "val_loss",
             "val_ppl", "difference");
  for (const NamedText& text : texts) fmt::print(" {:>{}}", text.name, width_of(text));
  fmt::print("\n");
  for (const Json& row : rows) {
    fmt::print("{:<20} {:<18} {:>8} {:>9} {:>9} {:>10}", row["name"].get<std::string>(),
               row["kind"].get<std::string>(), number(row["bits_per_weight"], "{:.3f}"),
               number(row["val_loss"], "{:.4f}"), number(row["val_ppl"], "{:.3f}"),
               number(row["difference"], "{:+.4f}"));
    for (const NamedText& text : texts)
      fmt::print(
          " {:>{}}",
          number(row.contains("tokens") ? row["tokens"][text.name]["ppl"] : Json(), "{:.3f}"),
          width_of(text));
    fmt::print("\n");
  }
}

Result<int> run(const QuantizeOptions& options) {
  if (!options.output.empty()) BITLOOP_TRY(check_output(options.output, "--out"));
  BITLOOP_ASSIGN(texts, parse_texts(options.tokens));
  Target target;
  BITLOOP_TRY(find_preset(options, target));
  std::vector<Target> targets;
  for (const std::string& file : options.files) {
    BITLOOP_ASSIGN(loaded, load_target(file, "quick"));
    Target& made = targets.emplace_back(target);
    made.candidate = std::move(loaded.candidate);
    made.name = std::move(loaded.name);
  }
  if (const auto layers = probe_sandbox(options.allow_degraded); !layers)
    return std::unexpected(layers.error());
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, [](int) { interrupted = true; });
  std::error_code no_folder;
  const fs::path parent = fs::temp_directory_path(no_folder);
  if (no_folder) return fail("io_error", "no temporary folder: set TMPDIR to one");
  BITLOOP_ASSIGN(scratch, TemporaryFolder::make(parent, kPrefix));

  Json rows = Json::array(), packed, float_loss;
  std::string failure;
  for (size_t i = 0; i < targets.size(); ++i) {
    const fs::path folder = scratch.path() / std::to_string(i);
    BITLOOP_ASSIGN(verdict, quantize(options, targets[i], folder));
    const bool ok = verdict.status == "ok";
    const Json metrics = verdict.result.is_object() && verdict.result.contains("metrics")
                             ? Json(verdict.result["metrics"])
                             : Json::object();
    if (float_loss.is_null() && metrics.contains("float_val_loss")) {
      float_loss = metrics["float_val_loss"];
      // A packed model's values are what it was quantised to before; its file says to how many
      // bits.
      std::error_code ignored;
      const bool was_packed = fs::is_regular_file(options.model, ignored);
      rows.push_back(row_of(was_packed ? "packed" : "float", "as it came", "ok",
                            {{"val_loss", float_loss},
                             {"val_bpb", metrics.value("float_val_bpb", Json())},
                             {"bits_per_weight", was_packed ? Json() : Json(32.0)}},
                            float_loss));
      if (!texts.empty()) {
        BITLOOP_ASSIGN(model, pack_float(options, target, scratch.path() / "float"));
        BITLOOP_TRY(add_texts(options, model, target.preset, texts, rows.back()));
      }
    }
    rows.push_back(
        row_of(targets[i].name, "without training", verdict.status, metrics, float_loss));
    if (!ok) {
      rows.back()["message"] = verdict.message;
      if (failure.empty()) failure = fmt::format("{}: {}", verdict.status, verdict.message);
    }
    if (ok) BITLOOP_TRY(add_texts(options, folder / kPacked, target.preset, texts, rows.back()));
    if (i > 0 || !ok || options.output.empty()) continue;
    BITLOOP_ASSIGN(bytes, read_file(folder / kPacked, size_t{1} << 36));
    BITLOOP_TRY(write_file_atomic(options.output, bytes));
    packed = {{"file", options.output}, {"bytes", bytes.size()}};
  }
  for (const std::string& given : options.beside) {
    BITLOOP_ASSIGN(row, row_beside(options, given, float_loss));
    BITLOOP_TRY(add_texts(options, tasks::run_of_model(given, places_of(options)) / kPacked,
                          target.preset, texts, row));
    rows.push_back(std::move(row));
  }
  if (options.json) {
    const Json& model = target.task.initial_model;
    fmt::print("{}\n", Json{{"model", {{"path", model["path"]}, {"sha256", model["sha256"]}}},
                            {"preset", target.preset["name"]},
                            {"rows", rows},
                            {"packed", packed}}
                           .dump(1, ' ', false, Json::error_handler_t::replace));
  } else {
    print_table(rows, texts);
    if (packed.is_object())
      fmt::print("{}: {} bytes\n", options.output, packed["bytes"].get<uint64_t>());
  }
  if (failure.empty()) return kDone;
  fmt::print(stderr, "bitloop: the candidate failed: {}\n", single_line(failure));
  return kCandidateFailed;
}

}  // namespace

void add_quantize(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<QuantizeOptions>();
  CLI::App* command = app.add_subcommand(
      "quantize", "Quantise a trained model without training, and score it beside the float one");
  command->footer(
      "Examples:\n"
      "  bitloop quantize local/1 quantizers/ternary.lua quantizers/kmeans.lua --beside local/2\n"
      "  bitloop quantize results/runs/local-1 quantizers/int4.lua --out int4.safetensors\n"
      "Exit codes: 0 done, 1 a candidate failed, 2 wrong usage, 3 the machine cannot.");
  command
      ->add_option("MODEL", options->model,
                   "the folder of a run or SESSION/TEST, its weights.safetensors, or a folder of "
                   "Hugging Face")
      ->required();
  command->add_option("FILE", options->files, "Lua quantizers, each a row of the table")
      ->required();
  command
      ->add_option("--beside", options->beside,
                   "a finished run (a folder or SESSION/TEST) for the same table; may be repeated")
      ->take_all()
      ->allow_extra_args(false);
  command
      ->add_option("--tokens", options->tokens,
                   "NAME=FILE: a further text of tokens (llm.c's shard, or headerless uint16), a "
                   "column of perplexity; may be repeated")
      ->take_all()
      ->allow_extra_args(false);
  command->add_option("--preset", options->preset,
                      "preset or task, for model and data (default: the run's own, else quick)");
  command->add_option("--out", options->output, "write the model of the first FILE, packed");
  add_overrides(*command, options->overrides);
  command->add_option("--workspace", options->workspace, kWorkspaceHelp);
  command->add_flag("--json", options->json,
                    "one JSON document: {model, preset, rows: [{name, kind, status, val_loss, "
                    "val_ppl, val_bpb, bits_per_weight, packed_bits_per_weight, difference, "
                    "tokens: {NAME: {loss, ppl}}}], "
                    "packed}");
  command->add_flag("--allow-degraded", options->allow_degraded, kDegradedHelp);
  command->callback([options, &exit_code] { exit_code = finish(run(*options)); });
}

}  // namespace bitloop::cli
