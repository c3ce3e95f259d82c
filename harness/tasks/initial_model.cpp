#include "harness/tasks/initial_model.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <set>

#include "harness/base/fd.h"
#include "harness/base/sha256.h"
#include "harness/base/text.h"

namespace bitloop::tasks {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr size_t kMaxDocument = size_t{16} << 20;
constexpr size_t kMostParts = 24;  // files of a model: descriptors that a jail has room for
constexpr const char* kWeights = "output/weights.safetensors";
constexpr const char* kWhole = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

std::unexpected<Error> unavailable(const std::string& given, std::string_view what) {
  return fail("init_unavailable",
              fmt::format("The model to begin with, {}, {}.", single_line(given), what));
}

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// SHA-256 of files, remembered for as long as a file is the same: a server asks at every test.
class Hashes {
 public:
  Result<std::string> of(const fs::path& path) {
    BITLOOP_ASSIGN(file, open_regular(path));
    struct stat state {};
    if (::fstat(file.get(), &state) != 0) return std::unexpected(errno_error(path.string(), errno));
    const std::string identity = fmt::format(
        "{}:{}:{}:{}.{}:{}.{}", state.st_dev, state.st_ino, state.st_size, state.st_mtim.tv_sec,
        state.st_mtim.tv_nsec, state.st_ctim.tv_sec, state.st_ctim.tv_nsec);
    const std::lock_guard guard(mutex_);
    if (const auto known = known_.find(identity); known != known_.end()) return known->second;
    Sha256 digest;
    std::vector<char> buffer(size_t{1} << 20);
    while (true) {
      const ssize_t count = ::read(file.get(), buffer.data(), buffer.size());
      if (count < 0) return std::unexpected(errno_error(path.string(), errno));
      if (count == 0) break;
      digest.add(buffer.data(), static_cast<size_t>(count));
    }
    return known_[identity] = digest.finish();
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::string> known_;
};

Result<std::string> hash_of(const fs::path& path) {
  static Hashes hashes;
  return hashes.of(path);
}

// A folder or file of that name, or a run; empty where there is none.
fs::path place_of(const std::string& given, const ModelPlaces& places) {
  const fs::path path(given);
  if (path.is_absolute()) return is_there(path) ? path : fs::path();
  for (const fs::path& folder : places.folders)
    if (is_there(folder / path)) return folder / path;
  const size_t slash = given.find('/');
  if (slash == std::string::npos || given.find('/', slash + 1) != std::string::npos) return {};
  const fs::path run = places.workspace / "runs" /
                       fmt::format("{}-{}", given.substr(0, slash), given.substr(slash + 1));
  return is_there(run) ? run : fs::path();
}

Json read_json(const fs::path& path) {
  const auto file = open_regular(path);
  if (!file) return Json(Json::value_t::discarded);
  return Json::parse(read_all(file->get(), kMaxDocument).value_or(""), nullptr, false);
}

// The members of a preset's model that say what its weights mean, with their defaults.
Json shape_of(const Json& model) {
  Json shape = Json::object();
  const int64_t heads = model.value("heads", int64_t{0}), width = model.value("width", int64_t{0});
  for (const char* name : {"architecture", "vocab_size", "padded_vocab_size", "context", "layers",
                           "heads", "width", "bias"})
    shape[name] = model.value(name, Json());
  shape["kv_heads"] = model.value("kv_heads", heads);
  shape["ffn_width"] = model.value("ffn_width", 4 * width);
  shape["tied_head"] = model.value("tied_head", true);
  shape["rope_theta"] = model.value("rope_theta", 1e4);
  shape["norm_epsilon"] = model.value("norm_epsilon", 1e-5);
  if (shape["architecture"] == "llama") shape.erase("context");  // no table of positions
  return shape;
}

// In what two presets' models differ, as a clause; "" where in nothing.
std::string difference(const Json& job, const Json& preset) {
  try {
    const Json is = shape_of(job.at("preset").at("model")), wanted = shape_of(preset.at("model"));
    for (const auto& [name, value] : is.items())
      if (wanted.contains(name) && wanted[name] != value)
        return fmt::format("is another model than the preset {}'s: its {} is {}, not {}",
                           preset.value("name", "?"), name, value.dump(), wanted[name].dump());
    return "";
  } catch (const Json::exception&) {
    return "has a job.json that is not a run's";
  }
}

// Files of a Hugging Face folder, beside it; nothing where its index names none that may be.
Result<std::vector<std::string>> parts_of(const std::string& given, const fs::path& folder) {
  if (is_there(folder / kWhole) || !is_there(folder / kIndex))
    return std::vector<std::string>{kWhole};
  const Json index = read_json(folder / kIndex);
  std::set<std::string> names;
  if (index.is_object() && index.value("weight_map", Json()).is_object())
    for (const Json& file : index["weight_map"])
      names.insert(file.is_string() ? file.get<std::string>() : "");
  const bool plain = std::ranges::all_of(names, [](const std::string& name) {
    return !name.empty() && name != ".." && name.find('/') == std::string::npos;
  });
  if (names.empty() || !plain || names.size() > kMostParts)
    return unavailable(given, fmt::format("has a {} whose weight_map does not name 1 to {} files "
                                          "beside it",
                                          kIndex, kMostParts));
  return std::vector<std::string>(names.begin(), names.end());
}

Status add_file(Json& model, const fs::path& path, const std::string& given) {
  const auto sha256 = hash_of(path);
  if (!sha256) return unavailable(given, "can't be read: " + sha256.error().message);
  model["files"].push_back({{"path", path.filename().string()},
                            {"file", fs::absolute(path).lexically_normal().string()},
                            {"sha256", *sha256}});
  return {};
}

}  // namespace

fs::path run_of_model(const std::string& given, const ModelPlaces& places) {
  const fs::path place = place_of(given, places);
  if (is_there(place / "job.json")) return place;
  const fs::path run = place.parent_path().parent_path();
  return place.filename() == "weights.safetensors" && is_there(run / "job.json") ? run : fs::path();
}

Json job_of_model(const std::string& given, const ModelPlaces& places) {
  const fs::path run = run_of_model(given, places);
  if (run.empty()) return nullptr;
  Json job = read_json(run / "job.json");
  return job.is_object() && job.contains("preset") ? job : Json();
}

Result<Json> find_initial_model(const std::string& given, const ModelPlaces& places,
                                const Json& preset) {
  fs::path place = place_of(given, places);
  if (place.empty())
    return unavailable(
        given,
        "is not there: name the folder of a run (or SESSION/TEST), its weights.safetensors, or a "
        "folder of Hugging Face");
  Json model = {{"path", given}, {"kind", "run"}, {"config", nullptr}, {"files", Json::array()}};
  // Weights in their run's place say more than their own tensors: the number of heads.
  if (const fs::path run = run_of_model(given, places); !run.empty()) place = run;
  std::error_code ignored;
  if (!fs::is_directory(place, ignored)) {
    BITLOOP_TRY(add_file(model, place, given));
  } else if (is_there(place / "job.json")) {
    if (const std::string other = difference(read_json(place / "job.json"), preset); !other.empty())
      return unavailable(given, other);
    if (!is_there(place / kWeights))
      return unavailable(given, "is a run without trained weights (output/weights.safetensors)");
    BITLOOP_TRY(add_file(model, place / kWeights, given));
  } else {
    model["kind"] = "huggingface";
    model["config"] = read_json(place / "config.json");
    if (!model["config"].is_object())
      return unavailable(given, "has neither job.json of a run nor config.json of Hugging Face");
    BITLOOP_ASSIGN(parts, parts_of(given, place));
    for (const std::string& name : parts) BITLOOP_TRY(add_file(model, place / name, given));
  }
  std::string all;
  for (const Json& file : model["files"]) all += file["sha256"].get<std::string>();
  if (model["files"].size() > 1) {
    Sha256 digest;
    digest.add(all);
    all = digest.finish();
  }
  model["sha256"] = all;
  return model;
}

}  // namespace bitloop::tasks
