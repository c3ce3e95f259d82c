#include "harness/api/access.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "harness/base/text.h"

namespace bitloop::api {
namespace {

enum class Rule {
  kSession,  // whatever no line below names: the agent's whose session it is, and reviewers'
  kShared,   // every agent's, and reviewers'; what differs from one to the other the handler knows
  kReview,   // reviewers' alone
  kItself,   // every caller's: what it calls is checked
  kOpen,     // needs no token
};

struct Line {
  std::string_view method, pattern;
  Rule rule;
};

constexpr Line kRules[] = {
    {"GET", "/healthz", Rule::kOpen},
    {"GET", "/", Rule::kOpen},
    {"GET", "/static/{file}", Rule::kOpen},
    {"GET", "/openapi.json", Rule::kShared},
    {"GET", "/v1/tasks", Rule::kShared},
    {"GET", "/v1/tasks/{task}", Rule::kShared},
    {"GET", "/v1/sessions", Rule::kShared},
    {"POST", "/v1/sessions", Rule::kShared},
    {"GET", "/v1/results", Rule::kShared},
    {"GET", "/v1/results.tsv", Rule::kShared},
    {"GET", "/v1/events", Rule::kShared},
    {"POST", "/mcp", Rule::kItself},
    {"DELETE", "/mcp", Rule::kItself},
    {"GET", "/v1/sessions/{id}/verification", Rule::kReview},
    {"POST", "/v1/sessions/{id}/verification", Rule::kReview},
    {"DELETE", "/v1/sessions/{id}/verification", Rule::kReview},
};

Rule rule_of(const Route& route) {
  for (const Line& line : kRules)
    if (line.method == route.method && line.pattern == route.pattern) return line.rule;
  return Rule::kSession;
}

std::unexpected<Error> not_allowed(const Caller& caller, const std::string& why) {
  return fail("role_not_allowed",
              fmt::format("The token '{}' is of the role {}: {}", caller.name,
                          caller.role == Role::kAgent ? "agent" : "reviewer", why));
}

Status may_call(const MaybeCaller& caller, Rule rule, bool reads,
                const std::map<std::string, std::string>& parameters,
                const sessions::Service& service) {
  if (!caller || rule == Rule::kOpen || rule == Rule::kItself) return {};
  if (caller->role == Role::kReviewer) {
    if (reads || rule == Rule::kReview) return {};
    return not_allowed(*caller,
                       "it reads everything and changes no session; use an agent's token.");
  }
  if (rule == Rule::kReview)
    return not_allowed(*caller,
                       "whether its scores hold is for others to ask; use a reviewer's token.");
  if (rule == Rule::kShared) return {};
  const auto id = parameters.find("id");
  if (id == parameters.end())
    return not_allowed(*caller, "it works on its own sessions; use a reviewer's token.");
  BITLOOP_ASSIGN(token, service.token_of(id->second));
  if (token == caller->name) return {};
  // In the words for a session that does not exist: whether it does is not the caller's to know.
  return std::unexpected(sessions::session_not_found(id->second));
}

}  // namespace

void guard_routes(std::vector<Route>& routes, const sessions::Service& service) {
  for (Route& route : routes) {
    const Rule rule = rule_of(route);
    route.open = rule == Rule::kOpen;
    route.may = [rule, reads = route.method == "GET", &service](const Request& request) {
      return may_call(request.caller, rule, reads, request.parameters, service);
    };
  }
}

bool sees(const MaybeCaller& caller, std::string_view token) {
  return !caller || caller->role == Role::kReviewer || caller->name == token;
}

bool sees_session(const MaybeCaller& caller, const sessions::Service& service,
                  std::string_view id) {
  if (sees(caller, "")) return true;
  const auto token = service.token_of(id);
  return token && sees(caller, *token);
}

bool sees_event(const MaybeCaller& caller, const sessions::Service& service,
                const sessions::StreamEvent& event) {
  if (sees(caller, "")) return true;
  const auto data = nlohmann::json::parse(event.data, nullptr, /*allow_exceptions=*/false);
  return data.is_object() && sees_session(caller, service, data.value("session", ""));
}

std::vector<ledger::StoredRow> visible_results(const MaybeCaller& caller,
                                               const sessions::Service& service) {
  std::vector<ledger::StoredRow> rows = service.results();
  if (!sees(caller, ""))
    std::erase_if(rows, [&](const ledger::StoredRow& row) {
      return row.field("type") != "baseline" &&
             !sees_session(caller, service, row.field("session"));
    });
  return rows;
}

std::string visible_results_tsv(const MaybeCaller& caller, const sessions::Service& service) {
  std::string text = service.results_tsv();
  if (sees(caller, "")) return text;
  const std::vector<std::string> lines = split_lines(text);
  const std::vector<std::string> header = split(lines.front(), '\t');
  const auto column = [&](std::string_view name) {
    return static_cast<size_t>(std::ranges::find(header, name) - header.begin());
  };
  const size_t session = column("session"), type = column("type");
  std::string visible = lines.front() + "\n";
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::vector<std::string> cells = split(lines[i], '\t');
    if (cells.size() != header.size()) continue;
    if (cells[type] == "baseline" || sees_session(caller, service, cells[session]))
      visible += lines[i] + "\n";
  }
  return visible;
}

}  // namespace bitloop::api
