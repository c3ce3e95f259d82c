#include "harness/evaluation/jailed_evaluation.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <map>

#include "harness/base/fd.h"
#include "harness/base/paths.h"
#include "harness/evaluation/model_job.h"
#include "harness/evaluation/model_tokenizer.h"
#include "harness/tasks/benchmarks.h"

namespace bitloop::evaluation {
namespace {

namespace fs = std::filesystem;
using shell::Process;

std::unexpected<Error> wrong(std::string message) {
  return fail("wrong_usage", std::move(message));
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

// What a job on a finished run or a packed model makes.
struct Made {
  Json model;  // its job and weights, as model_of describes them
  fs::path file;
  Process::Options options;
};

// Runs a job on a model whose only output is a file, which appears whole or not at all. `take`
// gets the job's records, and `finish` is done before the file appears. `files`: the model's.
Status make_file(const Made& made, Files files, Json document, const char* what,
                 const std::function<void(const Json&)>& take,
                 const std::function<Status()>& finish) {
  std::error_code failed;
  const fs::path part = fmt::format("{}.{}.part", made.file.string(), ::getpid());
  fs::remove(part, failed);
  BITLOOP_ASSIGN(output, open_file(part, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW));
  document["schema_version"] = 1;
  document.update(made.model);
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

Result<Json> finished_run(const fs::path& folder, Files& files) {
  BITLOOP_ASSIGN(job, run_job(folder));
  BITLOOP_ASSIGN(weights, files.open(folder / kWeights, "weights.safetensors"));
  return Json{{"job", job}, {"weights", {weights}}};
}

// What stands beside an exported model's weights.
Status write_beside(const fs::path& folder, Json config, const TokenizerFiles& tokenizer) {
  if (!config.is_object()) return fail("infrastructure", "the trainer gave no configuration");
  // Of a model that was there before.
  std::error_code ignored;
  for (const char* stale : {kTokenizer, kTokenizerSettings, "model.safetensors.index.json"})
    fs::remove(folder / stale, ignored);
  if (!tokenizer.tokenizer.empty()) {
    BITLOOP_TRY(write_file_atomic(folder / kTokenizer, tokenizer.tokenizer));
    BITLOOP_TRY(write_file_atomic(folder / kTokenizerSettings, tokenizer.settings));
  }
  config.update(tokenizer.ends);
  return write_file_atomic(folder / "config.json", config.dump(1) + "\n");
}

}  // namespace

Result<bool> export_model(const ExportRequest& request) {
  std::error_code failed;
  Files files;
  const bool packed = fs::is_regular_file(request.run, failed);
  BITLOOP_ASSIGN(model, packed ? model_of(request.run, files) : finished_run(request.run, files));
  BITLOOP_ASSIGN(tokenizer, tokenizer_files(model.at("job"), request.tokenizer));
  fs::create_directories(request.to, failed);
  if (failed) return fail("io_error", fmt::format("{}: {}", request.to.string(), failed.message()));
  Json config;
  BITLOOP_TRY(make_file(
      {std::move(model),
       request.to / kWhole,
       {.threads = request.threads,
        .memory_bytes = request.memory_bytes,
        .output_bytes = request.memory_bytes,
        .allow_degraded = request.allow_degraded}},
      std::move(files), {{"kind", "export"}, {"use", request.latent ? "latent" : "quantised"}},
      "export",
      [&](const Json& record) {
        if (record.at("type") == "exported") config = record.at("config");
      },
      [&] { return write_beside(request.to, std::move(config), tokenizer); }));
  return !tokenizer.tokenizer.empty();
}

Result<double> pack_run(const PackRequest& request) {
  double bits = 0.0;
  Files files;
  BITLOOP_ASSIGN(model, finished_run(request.run, files));
  BITLOOP_TRY(make_file(
      {std::move(model),
       request.file,
       {.threads = request.threads,
        .memory_bytes = request.memory_bytes,
        .output_bytes = request.memory_bytes,
        .allow_degraded = request.allow_degraded}},
      std::move(files), {{"kind", "pack"}, {"floats", request.bfloat16 ? "bfloat16" : "float32"}},
      "packing",
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
    job["window"] = request.window;
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
