#include "harness/tasks/tasks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "harness/base/fd.h"
#include "harness/base/text.h"
#include "harness/tasks/benchmarks.h"
#include "harness/tasks/preset.h"

namespace bitloop::tasks {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxTaskBytes = size_t{1} << 20;
constexpr int kMaxTests = 1000;

// What Q.config may ever be allowed to set: the schedule and the optimiser. Never the data, the
// seed, the steps, the batch, the context or the evaluation.
constexpr std::string_view kConfigKeys[] = {
    "learning_rate", "min_lr", "weight_decay", "warmup_iters", "beta1", "beta2", "grad_clip"};

// Reads one file, naming it and the key in every complaint.
class TaskReader {
 public:
  TaskReader(std::string file, const Json& json) : file_(std::move(file)), json_(json) {}

  Result<Task> read() {
    Task task;
    if (!json_.is_object()) return bad("a task must be a JSON object");
    BITLOOP_TRY(known_keys(json_, "",
                           {"name", "preset", "description", "rules", "tests", "allowed_config",
                            "benchmarks", "baselines", "early_stop", "init_from"}));
    BITLOOP_TRY(text("name", task.name));
    BITLOOP_TRY(text("preset", task.preset));
    BITLOOP_TRY(text("description", task.description));
    BITLOOP_TRY(rules(task.rules));
    BITLOOP_TRY(tests(task.tests));
    BITLOOP_TRY(allowed_config(task.allowed_config));
    BITLOOP_TRY(benchmarks(task.benchmarks));
    BITLOOP_TRY(baselines(task.baselines));
    BITLOOP_TRY(early_stop(task.early_stop));
    if (json_.contains("init_from")) BITLOOP_TRY(text("init_from", task.init_from));
    return task;
  }

 private:
  std::unexpected<Error> bad(std::string_view what) const {
    return fail("bad_task", fmt::format("{}: {}", file_, what));
  }

  Status known_keys(const Json& object, std::string_view prefix,
                    std::initializer_list<std::string_view> names) const {
    for (const auto& [key, value] : object.items())
      if (std::ranges::find(names, key) == names.end())
        return bad(fmt::format("unknown key {}{}", prefix, single_line(key)));
    return {};
  }

  Status text(const char* key, std::string& value) const {
    if (!json_.contains(key) || !json_[key].is_string() || json_[key].get<std::string>().empty())
      return bad(fmt::format("{} must be text", key));
    value = json_[key].get<std::string>();
    if (single_line(value) != value) return bad(fmt::format("{} must be one line", key));
    return {};
  }

  Status rules(Rules& rules) const {
    if (!json_.contains("rules") || !json_["rules"].is_object())
      return bad("rules must be an object");
    const Json& object = json_["rules"];
    BITLOOP_TRY(known_keys(object, "rules.", {"quantize_head", "paper_compat", "seed"}));
    for (const auto& [key, field] : {std::pair{"quantize_head", &rules.quantize_head},
                                     std::pair{"paper_compat", &rules.paper_compat}}) {
      if (!object.contains(key) || !object[key].is_boolean())
        return bad(fmt::format("rules.{} must be true or false", key));
      *field = object[key].get<bool>();
    }
    if (object.contains("seed")) {
      if (!object["seed"].is_number_integer() || object["seed"].get<double>() < 0 ||
          object["seed"].get<double>() > 9007199254740991.0)
        return bad("rules.seed must be a whole number, 0 … 9007199254740991");
      rules.seed = object["seed"].get<int64_t>();
    }
    return {};
  }

  Status tests(int& tests) const {
    if (!json_.contains("tests")) return {};
    const Json& value = json_["tests"];
    if (!value.is_number_integer() || value.get<double>() < 1 || value.get<double>() > kMaxTests)
      return bad(fmt::format("tests must be a whole number, 1 … {}", kMaxTests));
    tests = value.get<int>();
    return {};
  }

  Status allowed_config(std::map<std::string, Bounds>& allowed) const {
    if (!json_.contains("allowed_config") || !json_["allowed_config"].is_object())
      return bad("allowed_config must be an object");
    for (const auto& [key, value] : json_["allowed_config"].items()) {
      if (std::ranges::find(kConfigKeys, key) == std::end(kConfigKeys))
        return bad(fmt::format("unknown key allowed_config.{}", single_line(key)));
      if (!value.is_array() || value.size() != 2 || !value[0].is_number() ||
          !value[1].is_number() || !std::isfinite(value[0].get<double>()) ||
          !std::isfinite(value[1].get<double>()) || value[0].get<double>() > value[1].get<double>())
        return bad(fmt::format("allowed_config.{} must be [low, high]", key));
      allowed[key] = {value[0].get<double>(), value[1].get<double>()};
    }
    return {};
  }

  Status benchmarks(std::vector<std::string>& names) const {
    if (!json_.contains("benchmarks")) return {};
    const Json& list = json_["benchmarks"];
    if (!list.is_array() ||
        !std::ranges::all_of(list, [](const Json& name) { return name.is_string(); }))
      return bad("benchmarks must be a list of names");
    names = list.get<std::vector<std::string>>();
    return {};
  }

  Status baselines(Json& baselines) const {
    if (!json_.contains("baselines")) return {};
    const Json& list = json_["baselines"];
    if (!list.is_array()) return bad("baselines must be a list");
    for (const Json& entry : list) {
      if (!entry.is_object()) return bad("baselines must hold objects");
      BITLOOP_TRY(
          known_keys(entry, "baselines.", {"name", "val_loss", "bits_per_weight", "source"}));
      if (!entry.contains("name") || !entry["name"].is_string())
        return bad("baselines.name must be text");
      if (!entry.contains("val_loss") || !entry["val_loss"].is_number())
        return bad("baselines.val_loss must be a number");
    }
    baselines = list;
    return {};
  }

  Status early_stop(std::optional<EarlyStop>& stop) const {
    if (!json_.contains("early_stop")) return {};
    auto rule = parse_early_stop_rule(json_["early_stop"]);
    if (!rule) return bad(rule.error().message);
    stop = EarlyStop{std::move(*rule), {}, {}};
    return {};
  }

  std::string file_;
  const Json& json_;
};

Result<Task> load_task(const std::filesystem::path& file) {
  BITLOOP_ASSIGN(text, read_file(file, kMaxTaskBytes));
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded())
    return fail("bad_task", fmt::format("{}: not valid JSON", file.string()));
  BITLOOP_ASSIGN(task, TaskReader(file.string(), json).read());
  if (task.name != file.stem())
    return fail("bad_task", fmt::format("{}: name must be '{}', got '{}'", file.string(),
                                        file.stem().string(), task.name));
  return task;
}

Json config_json(const Task& task) {
  Json config = Json::object();
  for (const auto& [key, bounds] : task.allowed_config) config[key] = {bounds.low, bounds.high};
  return config;
}

Json baselines_json(const Task& task) {
  const auto number = [](const std::optional<double>& value) {
    return value ? Json(*value) : Json();
  };
  Json list = task.baselines;
  for (const Baseline& baseline : task.measured.baselines)
    list.push_back({{"name", baseline.name},
                    {"bits_per_weight", number(baseline.bits_per_weight)},
                    {"val_loss", number(baseline.val_loss)},
                    {"val_loss_sd", number(baseline.val_loss_sd)},
                    {"seeds", baseline.seeds},
                    {"source", "measured"}});
  return list;
}

}  // namespace

Json to_json(const Task& task) {
  Json rules = {{"quantize_head", task.rules.quantize_head},
                {"paper_compat", task.rules.paper_compat},
                {"seed", nullptr}};
  if (task.rules.seed) rules["seed"] = *task.rules.seed;
  return {{"name", task.name},
          {"preset", task.preset},
          {"description", task.description},
          {"rules", std::move(rules)},
          {"budget", {{"tests", task.tests}}},
          {"allowed_config", config_json(task)},
          {"benchmarks", task.benchmarks},
          {"baselines", baselines_json(task)},
          {"noise_floor", task.measured.noise_floor ? Json(task.measured.noise_floor->sd) : Json()},
          {"early_stop", task.early_stop ? Json(to_json(*task.early_stop)) : Json()},
          {"init_from", task.init_from.empty() ? Json() : Json(task.init_from)}};
}

Json job_rules(const Task& task) {
  return {{"quantize_head", task.rules.quantize_head},
          {"paper_compat", task.rules.paper_compat},
          {"allowed_config", config_json(task)}};
}

Result<std::vector<Task>> load_tasks(const std::filesystem::path& share_dir) {
  const std::filesystem::path folder = share_dir / "tasks";
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error))
    if (entry->path().extension() == ".json") files.push_back(entry->path());
  if (error) return std::unexpected(errno_error(folder.string(), error.value()));
  std::ranges::sort(files);
  std::vector<Task> tasks;
  for (const std::filesystem::path& file : files) {
    BITLOOP_ASSIGN(task, load_task(file));
    auto preset = load_preset(share_dir, task.preset);
    if (!preset) {
      if (preset.error().code != "unknown_preset") return std::unexpected(preset.error());
      return fail("bad_task", fmt::format("{}: {}", file.string(), preset.error().message));
    }
    auto benchmarks = load_benchmarks(share_dir, task.benchmarks);
    if (!benchmarks)
      return fail("bad_task",
                  fmt::format("{}: benchmarks: {}", file.string(), benchmarks.error().message));
    task.benchmark_files = std::move(*benchmarks);
    BITLOOP_ASSIGN(measured, load_baselines(share_dir, task.name));
    task.measured = std::move(measured);
    if (task.early_stop) {
      BITLOOP_ASSIGN(stop, load_early_stop(share_dir, task.name, task.early_stop->rule, *preset));
      task.early_stop = std::move(stop);
    }
    tasks.push_back(std::move(task));
  }
  if (tasks.empty()) return fail("bad_task", fmt::format("{} holds no task", folder.string()));
  std::ranges::sort(tasks, {}, &Task::name);
  return tasks;
}

}  // namespace bitloop::tasks
