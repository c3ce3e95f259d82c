#include "harness/jobs/job.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/base/fd.h"
#include "harness/jobs/rank_links.h"

namespace bitloop::jobs {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::chrono::seconds kCheckDeadline{20};  // someone waits for a check
constexpr size_t kMaxJobBytes = size_t{64} << 20;

std::unexpected<Error> bad(const std::string& what) { return fail("bad_job", "job.json: " + what); }

// A whole number from 1 to `most`: the member that `key`'s last part names of `object`.
Result<uint64_t> positive(const Json& object, std::string_view key, uint64_t most) {
  const std::string name(key.substr(key.rfind('.') + 1));
  const Json value = object.is_object() ? object.value(name, Json()) : Json();
  if (!value.is_number_integer() || value.get<int64_t>() < 1 || value.get<uint64_t>() > most)
    return bad(fmt::format("preset.{} must be a whole number from 1 to {}", key, most));
  return value.get<uint64_t>();
}

}  // namespace

Result<Job> parse_job(const std::string& text) {
  Job job;
  job.document = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  const Json& document = job.document;
  if (!document.is_object()) return bad("not a JSON object");
  if (document.value("schema_version", Json()) != 1) return bad("schema_version must be 1");
  const Json kind = document.value("kind", Json());
  if (kind != "train" && kind != "check" && kind != "verify" && kind != "quantize" &&
      kind != "profile")
    return bad("kind must be train, check, verify, quantize or profile");
  job.kind = kind.get<std::string>();
  job.waits = document.contains("candidate") && document["candidate"].is_null();
  if (job.waits && kind != "check") return bad("only a check may come without its candidate");

  const Json preset = document.value("preset", Json());
  const Json limits = preset.is_object() ? preset.value("limits", Json()) : Json();
  BITLOOP_ASSIGN(deadline_s, positive(limits, "limits.deadline_s", 365 * 86400));
  BITLOOP_ASSIGN(memory_mb, positive(limits, "limits.memory_mb", uint64_t{1} << 30));
  BITLOOP_ASSIGN(threads, positive(limits, "limits.threads", 4096));
  BITLOOP_ASSIGN(output_mb, positive(limits, "limits.output_mb", uint64_t{1} << 30));
  job.limits = {std::chrono::seconds(deadline_s), memory_mb << 20, static_cast<unsigned>(threads),
                output_mb << 20};
  if (job.kind == "check") job.limits.deadline = std::min(job.limits.deadline, kCheckDeadline);

  const Json train = preset.value("train", Json());
  const Json steps = train.is_object() ? train.value("steps", Json()) : Json();
  if (steps.is_number_integer()) job.steps = steps.get<int64_t>();
  const Json device =
      train.is_object() ? train.value("device", Json(job.device)) : Json(job.device);
  if (device != "cpu" && device != "cuda" && device != "auto")
    return bad("preset.train.device must be cpu, cuda or auto");
  job.device = device.get<std::string>();
  if (job.kind != "check" && train.is_object() && train.contains("ranks")) {
    BITLOOP_ASSIGN(ranks, positive(train, "train.ranks", kMostRanks));
    job.ranks = static_cast<unsigned>(ranks);
  }
  if (const Json remote = document.value("ranks", Json()); remote.is_object()) {
    const Json rank = remote.value("rank", Json());
    if (!rank.is_number_unsigned()) return bad("ranks.rank must be a whole number");
    job.remote_rank = rank.get<int64_t>();
    job.ranks = 1;
  }
  if (limits.contains("rank_wait_s")) {
    BITLOOP_ASSIGN(wait_s, positive(limits, "limits.rank_wait_s", 86400));
    job.rank_wait_s = static_cast<int64_t>(wait_s);
  }
  const Json checkpoint = preset.value("checkpoint", Json());
  const Json every = checkpoint.is_object() ? checkpoint.value("every", Json()) : Json();
  if (every.is_number_integer()) job.checkpoint_every = every.get<int64_t>();

  const Json data_dir = document.value("data_dir", Json());
  if (!data_dir.is_string() || !data_dir.get<std::string>().starts_with('/'))
    return bad("data_dir must be an absolute path");
  job.data.emplace_back(data_dir.get<std::string>());
  // A preset may name data of its own, outside the folder.
  const Json data = preset.value("data", Json());
  for (const char* name : {"path", "val_path"}) {
    const Json own = data.is_object() ? data.value(name, Json()) : Json();
    if (own.is_string() && own.get<std::string>().starts_with('/') &&
        own.get<std::string>().find('*') == std::string::npos)
      job.data.emplace_back(own.get<std::string>());
  }
  // What a pattern names, file by file: nothing else of its folder.
  if (const Json files = document.value("data_files", Json()); files.is_object()) {
    for (const Json& list : files)
      for (const Json& file : list) {
        if (!file.is_string() || !file.get<std::string>().starts_with('/'))
          return bad("data_files must name files by absolute paths");
        job.data.emplace_back(file.get<std::string>());
      }
  }
  if (const Json benchmarks = document.value("benchmarks", Json()); benchmarks.is_object()) {
    const Json documents = benchmarks.value("documents", Json::object());
    for (const Json& file : documents) {
      const Json at = file.is_object() ? file.value("file", Json()) : Json();
      if (!at.is_string() || !at.get<std::string>().starts_with('/'))
        return bad("benchmarks.documents must name files by absolute paths");
      job.data.emplace_back(at.get<std::string>());
    }
  }
  const Json degraded = document.value("allow_degraded", Json(false));
  if (!degraded.is_boolean()) return bad("allow_degraded must be true or false");
  job.allow_degraded = degraded.get<bool>();
  return job;
}

Result<Job> read_job(const std::filesystem::path& path) {
  BITLOOP_ASSIGN(text, read_file(path, kMaxJobBytes));
  return parse_job(text);
}

}  // namespace bitloop::jobs
