// `bitloop token`: who may use the servers of a workspace. A server that runs notices each change.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "harness/api/tokens.h"
#include "harness/cli/commands.h"
#include "harness/cli/common.h"

namespace bitloop::cli {
namespace {

struct TokenOptions {
  std::string workspace;
  std::string name;
  std::string role;
  bool json = false;

  api::TokenFile file() const { return api::TokenFile(choose_workspace(workspace)); }
};

Result<int> add(const TokenOptions& options) {
  BITLOOP_ASSIGN(role, api::parse_role(options.role));
  BITLOOP_ASSIGN(token, options.file().add(options.name, role));
  fmt::print("{}\n", token);
  fmt::print(stderr, "Keep it: it is shown this once.\n");
  return kDone;
}

Result<int> list(const TokenOptions& options) {
  BITLOOP_ASSIGN(known, options.file().read());
  const std::vector<api::Token> tokens = known.value_or(std::vector<api::Token>());
  if (options.json) {
    nlohmann::ordered_json documents = nlohmann::ordered_json::array();
    for (const api::Token& token : tokens)
      documents.push_back(
          {{"name", token.name}, {"role", api::name_of(token.role)}, {"created", token.created}});
    fmt::print("{}\n", nlohmann::ordered_json{{"tokens", documents}}.dump(1));
    return kDone;
  }
  for (const api::Token& token : tokens)
    fmt::print("{:<24} {:<9} {}\n", token.name, api::name_of(token.role), token.created);
  if (!known) fmt::print("There are no tokens: everybody on this machine may use the server.\n");
  if (known && tokens.empty())
    fmt::print("There are no tokens any more: the server lets nobody in.\n");
  return kDone;
}

Result<int> remove(const TokenOptions& options) {
  api::TokenFile file = options.file();
  BITLOOP_ASSIGN(left, file.remove(options.name));
  if (left == 0)
    fmt::print(stderr,
               "No token is left, so the server lets nobody in; delete {} and start it anew to "
               "have it without tokens.\n",
               file.path().string());
  return kDone;
}

}  // namespace

void add_token(CLI::App& app, int& exit_code) {
  auto options =
      std::make_shared<TokenOptions>();  // shared with the callbacks, which outlive this function
  CLI::App* command =
      app.add_subcommand("token", "Say who may use a workspace's server (README, Security)");
  command->require_subcommand(1);
  const auto action = [&](const char* name, const char* help,
                          Result<int> (*run)(const TokenOptions&)) {
    CLI::App* added = command->add_subcommand(name, help);
    added->add_option("--workspace", options->workspace, kWorkspaceHelp);
    added->callback([options, &exit_code, run] { exit_code = finish(run(*options)); });
    return added;
  };
  const char* const name_help = "1 to 64 of A-Z a-z 0-9 . _ -; sessions are kept under it";
  CLI::App* adding = action("add", "Make a token and print it, this once", add);
  adding->add_option("NAME", options->name, name_help)->required();
  adding
      ->add_option("--role", options->role,
                   "agent: works on sessions of its own; reviewer: reads everything, changes "
                   "nothing")
      ->required();
  CLI::App* listing = action("list", "Names, roles and dates", list);
  listing->add_flag("--json", options->json,
                    "one JSON document: {tokens: [{name, role, created}]}");
  CLI::App* removing =
      action("remove", "Take a token back; its sessions stay, and belong to its name", remove);
  removing->add_option("NAME", options->name, "whose")->required();
}

}  // namespace bitloop::cli
