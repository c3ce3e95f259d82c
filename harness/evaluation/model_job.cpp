#include "harness/evaluation/model_job.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "harness/base/text.h"
#include "harness/evaluation/model_tokenizer.h"

namespace bitloop::evaluation {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxConfig = size_t{1} << 20, kMaxJob = size_t{16} << 20,
                 kMaxIndex = size_t{16} << 20;
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr size_t kMostParts = 24;          // files of a model: descriptors that a jail has room for
constexpr int kDeepest = 64;               // levels of a JSON file
constexpr std::chrono::hours kSilence{1};  // without a record from the jail

std::unexpected<Error> wrong(std::string message) {
  return fail("wrong_usage", std::move(message));
}

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
    job.erase("init_from");  // none that bitloop wrote has it, and it names files to read
    (void)job.at("preset").at("model").at("width");
    (void)job.at("preset").at("data").at("format");
    return job;
  } catch (const Json::exception&) {
    return no_model();
  }
}

}  // namespace

Result<Json> Files::open(const fs::path& path, const std::string& name) {
  BITLOOP_ASSIGN(fd, open_regular(path));
  return add(std::move(fd), name);
}

Json Files::add(UniqueFd fd, const std::string& name) {
  Json entry = {{"path", name}, {"fd", shell::Process::file_fd(fds_.size())}};
  fds_.push_back(std::move(fd));
  return entry;
}

Result<Json> run_job(const fs::path& folder) {
  BITLOOP_ASSIGN(job, read_json(folder / "job.json", kMaxJob));
  if (!job.is_object() || !job.contains("kind") || job.at("kind") != "train")
    return wrong(
        fmt::format("{} is not the job of a training run", (folder / "job.json").string()));
  return job;
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
    Json model = {{"job", job}, {"weights", {*weights}}};
    if (const fs::path tokenizer = origin_tokenizer(job); !tokenizer.empty()) {
      BITLOOP_ASSIGN(file, files.open(tokenizer, kTokenizer));
      model["tokenizer"] = file;
    }
    return model;
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
  Json model = {{"config", config}, {"weights", weights}};
  if (fs::exists(folder / kTokenizer, ignored)) {
    auto tokenizer = files.open(folder / kTokenizer, kTokenizer);
    if (!tokenizer) return wrong("--model: " + tokenizer.error().message);
    model["tokenizer"] = *tokenizer;
  }
  return model;
}

// Takes the records of a jail up to its result, which is what comes back.
Status follow(shell::Process& process, const char* what,
              const std::function<void(const Json&)>& take) {
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

}  // namespace bitloop::evaluation
