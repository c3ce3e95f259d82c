#include "harness/jobs/initial_files.h"

#include <fmt/format.h>

namespace bitloop::jobs {

using Json = nlohmann::ordered_json;

Result<std::vector<UniqueFd>> open_initial_files(Json& document, int first_fd) {
  std::vector<UniqueFd> files;
  const auto found = document.find("init_from");
  if (found == document.end() || found->is_null()) return files;
  try {
    for (Json& file : found->at("files")) {
      auto opened = open_regular(file.at("file").get<std::string>());
      if (!opened)
        return fail("init_unavailable",
                    fmt::format("the model to begin with can't be read any more: {}",
                                opened.error().message));
      file["fd"] = first_fd + static_cast<int>(files.size());
      files.push_back(std::move(*opened));
    }
  } catch (const Json::exception&) {
    return fail("bad_job", "job.json: init_from must be null or name files");
  }
  return files;
}

}  // namespace bitloop::jobs
