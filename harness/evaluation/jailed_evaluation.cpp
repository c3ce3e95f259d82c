#include "harness/evaluation/jailed_evaluation.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <set>

#include "harness/base/fd.h"
#include "harness/base/paths.h"
#include "harness/base/text.h"
#include "harness/shell/process.h"
#include "harness/tasks/benchmarks.h"

namespace bitloop::evaluation {
namespace {

namespace fs = std::filesystem;
using shell::Process;

constexpr size_t kMaxConfig = size_t{1} << 20, kMaxJob = size_t{16} << 20,
                 kMaxIndex = size_t{16} << 20;
constexpr const char *kWhole = "model.safetensors", *kIndex = "model.safetensors.index.json";
constexpr size_t kMostParts = 24;  // files of a model: descriptors that a jail has room for
constexpr const char* kWeights = "output/weights.safetensors";  // of a run
constexpr int kDeepest = 64;                                    // levels of a JSON file
constexpr std::chrono::hours kSilence{1};                       // without a record from the jail

std::unexpected<Error> wrong(std::string message) {
  return fail("wrong_usage", std::move(message));
}

// Files for the jail, and what its job calls them.
class Files {
 public:
  Result<Json> open(const fs::path& path, const std::string& name) {
    BITLOOP_ASSIGN(fd, open_regular(path));
    return add(std::move(fd), name);
  }
  Json add(UniqueFd fd, const std::string& name) {
    Json entry = {{"path", name}, {"fd", Process::file_fd(fds_.size())}};
    fds_.push_back(std::move(fd));
    return entry;
  }
  const std::vector<UniqueFd>& fds() const { return fds_; }

 private:
  std::vector<UniqueFd> fds_;
};

// A JSON file; discarded where it is none, or nested deeper than any of ours: what copies it calls
// itself at each level.
Json parse_json(const std::string& text) {
  bool deep = false;
  Json document = Json::parse(
      text,
      [&](int depth, Json::parse_event_t, Json&) {
        deep = deep || depth > kDeepest;
        return !deep;
      },
      /*allow_exceptions=*/false);
  return deep ? Json(Json::value_t::discarded) : document;
}

Result<Json> read_json(const fs::path& path, size_t most) {
  BITLOOP_ASSIGN(fd, open_regular(path));
  BITLOOP_ASSIGN(text, read_all(fd.get(), most));
  return parse_json(text);
}

Result<Json> run_job(const fs::path& folder) {
  BITLOOP_ASSIGN(job, read_json(folder / "job.json", kMaxJob));
  if (!job.is_object() || !job.contains("kind") || job.at("kind") != "train")
    return wrong(
        fmt::format("{} is not the job of a training run", (folder / "job.json").string()));
  return job;
}

// One file, or those of a model in parts.
Result<std::vector<std::string>> weight_files(const fs::path& folder) {
  std::error_code ignored;
  if (fs::exists(folder / kWhole, ignored) || !fs::exists(folder / kIndex, ignored))
    return std::vector<std::string>{kWhole};
  BITLOOP_ASSIGN(index, read_json(folder / kIndex, kMaxIndex));
  std::set<std::string> names;
  try {
    for (const auto& [tensor, file] : index.at("weight_map").items())
      names.insert(file.get<std::string>());
  } catch (const Json::exception&) {
    names.clear();
  }
  // Files beside the index, not anywhere.
  const bool plain = std::ranges::all_of(names, [](const std::string& name) {
    return !name.empty() && name.find('/') == std::string::npos && name != "..";
  });
  if (names.empty() || !plain)
    return wrong(
        fmt::format("--model: {} must have a weight_map from tensors to the names of files "
                    "beside it",
                    (folder / kIndex).string()));
  if (names.size() > kMostParts)
    return wrong(fmt::format("--model: {} names {} files, more than the {} that are read",
                             (folder / kIndex).string(), names.size(), kMostParts));
  return std::vector<std::string>(names.begin(), names.end());
}

// The job that a packed model names in its header: its shape, so that the jail can make ready for
// it. The jail reads the file itself.
Result<Json> packed_job(const UniqueFd& file, const fs::path& path) {
  const auto no_model = [&] {
    return wrong(
        fmt::format("--model {}: no packed model, or its header is damaged", path.string()));
  };
  uint64_t length = 0;
  if (::pread(file.get(), &length, sizeof length, 0) != sizeof length || length > kMaxJob)
    return no_model();
  std::string text(length, '\0');
  if (::pread(file.get(), text.data(), length, sizeof length) != static_cast<ssize_t>(length))
    return no_model();
  try {
    const Json header = parse_json(text);
    Json job = parse_json(header.at("__metadata__").at("bitloop").get<std::string>()).at("job");
    (void)job.at("preset").at("model").at("width");
    (void)job.at("preset").at("data").at("format");
    return job;
  } catch (const Json::exception&) {
    return no_model();
  }
}

Result<Json> model_of(const fs::path& folder, Files& files) {
  std::error_code ignored;
  if (fs::is_regular_file(folder, ignored)) {
    BITLOOP_ASSIGN(file, open_regular(folder));
    BITLOOP_ASSIGN(job, packed_job(file, folder));
    return Json{{"packed", true},
                {"job", job},
                {"weights", {files.add(std::move(file), folder.filename().string())}}};
  }
  if (!fs::is_directory(folder, ignored))
    return wrong(fmt::format("--model {}: there is no such file or folder", folder.string()));
  if (fs::exists(folder / "job.json", ignored)) {
    BITLOOP_ASSIGN(job, run_job(folder));
    auto weights = files.open(folder / kWeights, "weights.safetensors");
    if (!weights)
      return wrong(
          fmt::format("--model: {} (the run has no trained weights)", weights.error().message));
    return Json{{"job", job}, {"weights", {*weights}}};
  }
  const auto read = read_json(folder / "config.json", kMaxConfig);
  if (!read) return wrong("--model: " + read.error().message);
  const Json& config = *read;
  if (config.is_discarded())
    return wrong(fmt::format("--model: {} is no JSON", (folder / "config.json").string()));
  BITLOOP_ASSIGN(parts, weight_files(folder));
  Json weights = Json::array();
  for (const std::string& name : parts) {
    auto part = files.open(folder / name, name);
    if (!part)
      return wrong(
          fmt::format("--model: {} (weights are read from model.safetensors, or from the "
                      "files that {} names)",
                      part.error().message, kIndex));
    weights.push_back(*part);
  }
  return Json{{"config", config}, {"weights", weights}};
}

Result<Json> documents_of(const fs::path& folder, Files& files) {
  Json documents = Json::object();
  const std::vector<fs::path> paths = tasks::benchmark_documents(folder);
  if (paths.size() > tasks::kMostDocumentFiles)
    return wrong(fmt::format("{}: {} .jsonl files, more than the {} that are looked at",
                             folder.string(), paths.size(), tasks::kMostDocumentFiles));
  if (paths.empty())
    return wrong(
        fmt::format("{}: no documents there; bitloop data benchmarks DIR makes them of the "
                    "published files",
                    folder.string()));
  for (const fs::path& path : paths) {
    BITLOOP_ASSIGN(entry, files.open(path, path.filename().string()));
    documents[path.filename().string()] = entry;
  }
  return documents;
}

// Takes the records of a jail up to its result, which is what comes back.
Status follow(Process& process, const char* what, const std::function<void(const Json&)>& take) {
  while (const auto record = process.next(std::chrono::steady_clock::now() + kSilence)) {
    try {
      if (record->at("type") != "result") {
        take(*record);
        continue;
      }
      if (record->at("status") == "ok") return {};
      return fail(record->at("status").get<std::string>(),
                  single_line(record->at("message").get<std::string>()));
    } catch (const Json::exception&) {
      return fail("infrastructure",
                  fmt::format("the jailed {} sent a record that can't be read", what));
    }
  }
  return fail("infrastructure", fmt::format("the {} did not end: {}", what,
                                            process.ended() ? process.reason() : "it fell silent"));
}

}  // namespace

namespace {

// What a job on a finished run makes.
struct Made {
  fs::path run, file;
  Process::Options options;
};

// Runs a job on a finished run whose only output is a file, which appears whole or not at all.
// `take` gets the job's records, and `finish` is done before the file appears.
Status make_file(const Made& made, Json document, const char* what,
                 const std::function<void(const Json&)>& take,
                 const std::function<Status()>& finish) {
  Files files;
  BITLOOP_ASSIGN(job, run_job(made.run));
  BITLOOP_ASSIGN(weights, files.open(made.run / kWeights, "weights.safetensors"));
  std::error_code failed;
  const fs::path part = fmt::format("{}.{}.part", made.file.string(), ::getpid());
  fs::remove(part, failed);
  BITLOOP_ASSIGN(output, open_file(part, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW));
  document["schema_version"] = 1;
  document["job"] = job;
  document["weights"] = Json::array({weights});
  document["output"] = files.add(std::move(output), part.string());
  Status done;
  auto process = Process::start(std::move(document), files.fds(), made.options);
  done = process ? follow(**process, what, take) : Status(std::unexpected(process.error()));
  if (done) done = finish();
  if (done) {
    fs::rename(part, made.file, failed);
    if (failed)
      done = fail("io_error", fmt::format("{}: {}", made.file.string(), failed.message()));
  }
  if (!done) fs::remove(part, failed);
  return done;
}

}  // namespace

Status export_model(const ExportRequest& request) {
  std::error_code failed;
  if (const auto job = run_job(request.run); !job) return std::unexpected(job.error());
  fs::create_directories(request.to, failed);
  if (failed) return fail("io_error", fmt::format("{}: {}", request.to.string(), failed.message()));
  Json config;
  return make_file(
      {request.run,
       request.to / kWhole,
       {.threads = request.threads,
        .memory_bytes = request.memory_bytes,
        .output_bytes = request.memory_bytes,
        .allow_degraded = request.allow_degraded}},
      {{"kind", "export"}, {"use", request.latent ? "latent" : "quantised"}}, "export",
      [&](const Json& record) {
        if (record.at("type") == "exported") config = record.at("config");
      },
      [&] { return write_file_atomic(request.to / "config.json", config.dump(1) + "\n"); });
}

Result<double> pack_run(const PackRequest& request) {
  double bits = 0.0;
  BITLOOP_TRY(make_file(
      {request.run,
       request.file,
       {.threads = request.threads,
        .memory_bytes = request.memory_bytes,
        .output_bytes = request.memory_bytes,
        .allow_degraded = request.allow_degraded}},
      {{"kind", "pack"}, {"floats", request.bfloat16 ? "bfloat16" : "float32"}}, "packing",
      [&](const Json& record) {
        if (record.at("type") == "packed") bits = record.at("bits_per_weight");
      },
      [] { return Status(); }));
  return bits;
}

std::vector<std::string> task_names() { return tasks::benchmark_names(share_dir()); }

Result<Json> evaluate(const Request& request,
                      const std::function<void(const TaskProgress&)>& progress) {
  Files files;
  BITLOOP_ASSIGN(model, model_of(request.model, files));
  const std::vector<std::string> names = request.tasks ? *request.tasks : task_names();
  auto tasks = tasks::load_benchmarks(share_dir(), names);
  if (!tasks) return wrong(tasks.error().message);
  Json documents = Json::object();
  if (!names.empty()) {
    BITLOOP_ASSIGN(there, documents_of(request.benchmarks, files));
    documents = std::move(there);
  }
  BITLOOP_ASSIGN(vocabulary, files.open(tasks::benchmark_vocabulary(share_dir()), "vocab.bpe"));
  Json job = {{"schema_version", 1},
              {"kind", "eval"},
              {"model", model},
              {"benchmarks",
               {{"tasks", *tasks},
                {"documents", documents},
                {"vocabulary", vocabulary},
                {"limit", request.limit}}},
              {"skip_missing", !request.tasks}};
  if (!request.tokens.empty()) {
    auto tokens = files.open(request.tokens, request.tokens.filename().string());
    if (!tokens) return wrong("--tokens: " + tokens.error().message);
    job["tokens"] = *tokens;
  }
  BITLOOP_ASSIGN(process, Process::start(std::move(job), files.fds(),
                                         {.threads = request.threads,
                                          .memory_bytes = request.memory_bytes,
                                          .allow_degraded = request.allow_degraded}));

  Json result = {{"model", fs::absolute(request.model).lexically_normal().string()},
                 {"tasks", Json::object()},
                 {"skipped", Json::object()}};
  std::map<std::string, Json> per_document;
  BITLOOP_TRY(follow(*process, "evaluation", [&](const Json& record) {
    const std::string type = record.at("type");
    if (type == "model") {
      result["parameters"] = record.at("parameters");
      return;
    }
    const std::string task = record.value("task", "");  // other records have none
    if (type == "progress") {
      progress({task, record.at("done"), record.at("all")});
    } else if (type == "documents") {
      Json& list = per_document[task];
      if (list.is_null()) list = Json::array();
      for (const Json& document : record.at("documents")) list.push_back(document);
    } else if (type == "skipped") {
      result["skipped"][task] = record.at("why");
    } else if (type == "eval") {
      result["tasks"][task] = {{"documents", record.at("documents")},
                               {"metrics", record.at("metrics")},
                               {"per_document", per_document[task]}};
    }
  }));
  return result;
}

}  // namespace bitloop::evaluation
