#include "harness/api/dashboard.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "harness/base/fd.h"

namespace bitloop::api {
namespace {

constexpr size_t kMaxFileBytes = size_t{8} << 20;
constexpr const char* kPage = "index.html";
constexpr const char* kChart = "chart.min.js";

// Everything from here and nothing inline; no text becomes markup or script.
constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' "
    "data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

using Files = std::map<std::string, std::string>;  // content by name

const char* type_of(const std::string& name) {
  static constexpr std::pair<std::string_view, const char*> kTypes[] = {
      {".html", "text/html; charset=utf-8"},
      {".css", "text/css; charset=utf-8"},
      {".js", "text/javascript; charset=utf-8"},
      {".svg", "image/svg+xml"},
  };
  for (const auto& [ending, type] : kTypes)
    if (name.ends_with(ending)) return type;
  return nullptr;
}

Files read_files(const std::filesystem::path& folder) {
  Files files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (type_of(name) == nullptr) continue;
    if (auto content = read_file(entry.path(), kMaxFileBytes)) files[name] = std::move(*content);
  }
  return files;
}

Result<Response> send_file(const Files& files, const std::string& name) {
  const auto found = files.find(name);
  if (found == files.end()) {
    if (name == kChart)
      return fail("file_not_found",
                  "The dashboard has no plots, because Chart.js is missing: install the Debian "
                  "package libjs-chart.js, build again (make build) and start the server anew.");
    if (name == kPage)
      return fail("file_not_found",
                  "The dashboard's files are missing: build again (make build) and start the "
                  "server anew. The API works without them; GET /openapi.json lists its calls.");
    return fail("file_not_found",
                fmt::format("The dashboard has no file '{}'.", name.substr(0, 80)));
  }
  Response response;
  response.body = found->second;
  response.content_type = type_of(name);
  response.headers = {{"Content-Security-Policy", kPolicy},
                      {"Referrer-Policy", "no-referrer"},
                      {"Cross-Origin-Opener-Policy", "same-origin"},
                      {"Cross-Origin-Resource-Policy", "same-origin"}};
  return response;
}

}  // namespace

void add_dashboard_routes(std::vector<Route>& routes, const std::filesystem::path& folder) {
  const auto files = std::make_shared<const Files>(read_files(folder));
  if (files->contains(kPage) && !files->contains(kChart))
    spdlog::warn(
        "the dashboard has no plots: install the Debian package libjs-chart.js and build again");
  routes.push_back({"GET",
                    "/",
                    "The dashboard, for people with a browser",
                    {},
                    {},
                    200,
                    "text/html",
                    [files](const Request&) { return send_file(*files, kPage); }});
  routes.push_back({"GET",
                    "/static/{file}",
                    "A file of the dashboard",
                    {},
                    {},
                    200,
                    "*/*",
                    [files](const Request& request) {
                      return send_file(*files, request.parameters.at("file"));
                    }});
}

}  // namespace bitloop::api
