#include "harness/api/memory.h"

#include "harness/api/render.h"

namespace bitloop::api {
namespace {

using sessions::Service;

Result<Response> answer(const Result<sessions::TagsView>& tags) {
  if (!tags) return std::unexpected(tags.error());
  Response response = json_response(render(*tags));
  response.headers.emplace_back("ETag", '"' + tags->commit + '"');
  return response;
}

Field test_field() {
  return {"test", FieldType::kInteger, false, "a test's number; left out: the session", "n", 1};
}

}  // namespace

void add_memory_routes(std::vector<Route>& routes, Service& service) {
  routes.push_back({"GET",
                    "/v1/sessions/{id}/summary",
                    "The session in at most 16 KiB, for an agent that lost its context: what was "
                    "tried and what came of it, the best, the candidate now, what to do next",
                    {},
                    {},
                    200,
                    "application/json",
                    [&service](const Request& request) -> Result<Response> {
                      BITLOOP_ASSIGN(document, service.summary(request.parameters.at("id")));
                      return json_response(document);
                    }});
  routes.push_back({"POST",
                    "/v1/sessions/{id}/tags",
                    "Give a short label to the session or to a test",
                    {},
                    {{"tag", FieldType::kString, true, "1 to 40 letters, digits, '.', '_' and '-'"},
                     test_field()},
                    200,
                    "application/json",
                    [&service](const Request& request) {
                      return answer(service.tag(request.parameters.at("id"),
                                                {*request.text("tag"), request.number("test")},
                                                terms_of(request)));
                    }});
  routes.push_back(
      {"DELETE",
       "/v1/sessions/{id}/tags/{tag}",
       "Take a label away",
       {test_field()},
       {},
       200,
       "application/json",
       [&service](const Request& request) {
         const auto test = request.query.find("test");
         return answer(service.untag(
             request.parameters.at("id"),
             {request.parameters.at("tag"),
              test == request.query.end() ? std::nullopt : std::optional(test->get<int64_t>())},
             terms_of(request)));
       }});
}

}  // namespace bitloop::api
