#include "trainer/eval/task.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "harness/base/text.h"
#include "lua/runtime/environment.h"
#include "lua/runtime/guest.h"
#include "trainer/eval/python_text.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;

constexpr lua::Limits kLimits{.lua_bytes = 256u << 20};  // a document may be a whole book
constexpr int kDeepest = 32;

struct Kind {
  const char* name;
  TaskKind kind;
  std::vector<std::string_view> members, metrics;  // that it must have; that it may have
};

const std::array<Kind, 4>& kinds() {
  static const std::array<Kind, 4> all = {{
      {"multiple_choice", TaskKind::kMultipleChoice, {"gold"}, {"acc", "acc_norm"}},
      {"continuation", TaskKind::kContinuation, {"context", "continuation"}, {"perplexity", "acc"}},
      {"document",
       TaskKind::kDocument,
       {"text"},
       {"word_perplexity", "byte_perplexity", "bits_per_byte"}},
      {"blocks", TaskKind::kBlocks, {"text"}, {"perplexity"}},
  }};
  return all;
}

// What goes wrong in a document: caught by Task::question, never by Lua.
struct BadDocument {
  std::string message;
};

void push(lua_State* L, const json& value, int depth = 0) {
  if (depth > kDeepest) throw BadDocument{"the document is nested too deeply"};
  luaL_checkstack(L, 4, nullptr);
  switch (value.type()) {
    case json::value_t::string: {
      const auto& text = value.get_ref<const std::string&>();
      lua_pushlstring(L, text.data(), text.size());
      return;
    }
    case json::value_t::boolean:
      lua_pushboolean(L, value.get<bool>() ? 1 : 0);
      return;
    case json::value_t::number_integer:
    case json::value_t::number_unsigned:
      lua_pushinteger(L, value.get<lua_Integer>());
      return;
    case json::value_t::number_float:
      lua_pushnumber(L, value.get<double>());
      return;
    case json::value_t::array:
      lua_createtable(L, static_cast<int>(value.size()), 0);
      for (size_t i = 0; i < value.size(); ++i) {
        if (value[i].is_null()) throw BadDocument{"there is a null in one of its lists"};
        push(L, value[i], depth + 1);
        lua_rawseti(L, -2, static_cast<lua_Integer>(i) + 1);
      }
      return;
    case json::value_t::object:
      lua_createtable(L, 0, static_cast<int>(value.size()));
      for (const auto& [key, member] : value.items()) {
        lua_pushlstring(L, key.data(), key.size());
        push(L, member, depth + 1);
        lua_rawset(L, -3);
      }
      return;
    default:
      lua_pushnil(L);
  }
}

// The value at a path such as "choices.text", or null.
const json* at_path(const json& document, std::string_view path) {
  const json* value = &document;
  for (const std::string& name : split(path, '.')) {
    if (!value->is_object()) return nullptr;
    const auto found = value->find(name);
    if (found == value->end() || found->is_null()) return nullptr;
    value = &*found;
  }
  return value;
}

const json& field(const json& document, std::string_view path) {
  if (const json* value = at_path(document, path)) return *value;
  throw BadDocument{fmt::format("there is no field '{}'", path)};
}

std::string text_of(const json& value, std::string_view path) {
  if (!value.is_string()) throw BadDocument{fmt::format("'{}' is not a text", path)};
  return value.get<std::string>();
}

// "Question: {question}" with the document's fields.
std::string fill(std::string_view pattern, const json& document) {
  std::string filled;
  while (!pattern.empty()) {
    const size_t open = pattern.find('{'),
                 close = pattern.find('}', std::min(open, pattern.size()));
    if (open == std::string_view::npos || close == std::string_view::npos) break;
    const std::string_view path = pattern.substr(open + 1, close - open - 1);
    filled += pattern.substr(0, open);
    filled += text_of(field(document, path), path);
    pattern.remove_prefix(close + 1);
  }
  return filled.append(pattern);
}

int64_t characters(std::string_view utf8) {
  return std::count_if(utf8.begin(), utf8.end(),
                       [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; });
}

}  // namespace

struct Task::Impl {
  explicit Impl(const std::string& file_name) : guest(kLimits, file_name) {}

  lua::Guest guest;
  int table = 0;  // registry reference
  std::string name, file, separator;
  TaskKind kind = TaskKind::kBlocks;
  std::vector<std::string> metrics;
  Ledger ledger;
  std::vector<std::vector<std::string>> forms;  // a document has all fields of one of these

  void load(lua_State* L, std::string_view source);
  [[noreturn]] static void refuse(lua_State* L, const std::string& message) {
    luaL_error(L, "%s", message.c_str());
    __builtin_unreachable();
  }
  std::string string_member(lua_State* L, const char* member) const;
  std::vector<std::string> list_member(lua_State* L, const char* member) const;
  std::vector<std::string> take_list(lua_State* L, const char* member) const;
  void read_forms(lua_State* L);
  void read_ledger(lua_State* L);
  void check_fields(const json& document) const;

  // Pushes what member `member` makes of the document: a text filled in, or a function's result.
  // With `path`, a text is the path of a field.
  void push_made(lua_State* L, const char* member, const json& document, bool path) const;
  std::string make_text(lua_State* L, const char* member, const json& document) const;
  std::vector<std::string> make_list(lua_State* L, const char* member, const json& document) const;
  int64_t make_gold(lua_State* L, const json& document, size_t choices) const;
  Question make(lua_State* L, const json& document) const;
};

std::string Task::Impl::string_member(lua_State* L, const char* member) const {
  lua_getfield(L, -1, member);
  if (lua_type(L, -1) != LUA_TSTRING)
    refuse(L, fmt::format("'{}' must be a text, got {}", member, luaL_typename(L, -1)));
  std::string text = lua_tostring(L, -1);
  lua_pop(L, 1);
  return text;
}

std::vector<std::string> Task::Impl::list_member(lua_State* L, const char* member) const {
  lua_getfield(L, -1, member);
  return take_list(L, member);
}

// Pops the list that is on top.
std::vector<std::string> Task::Impl::take_list(lua_State* L, const char* member) const {
  std::vector<std::string> list;
  if (!lua_istable(L, -1)) refuse(L, fmt::format("'{}' must be a list of texts", member));
  for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; ++i, lua_pop(L, 1)) {
    if (lua_type(L, -1) != LUA_TSTRING)
      refuse(L, fmt::format("'{}' must be a list of texts", member));
    list.emplace_back(lua_tostring(L, -1));
  }
  lua_pop(L, 2);
  if (list.empty()) refuse(L, fmt::format("'{}' is empty", member));
  return list;
}

void Task::Impl::load(lua_State* L, std::string_view source) {
  lua::push_environment(L);
  const int environment = lua_gettop(L);
  // Patterns, too, which candidates don't have: these files are ours or the user's.
  lua_pushcfunction(L, luaopen_string);
  lua_call(L, 0, 1);
  lua_setfield(L, environment, "string");
  const std::string chunk = "=" + guest.file_name();
  if (luaL_loadbufferx(L, source.data(), source.size(), chunk.c_str(), "t") != LUA_OK) lua_error(L);
  lua_pushvalue(L, environment);
  lua_setupvalue(L, -2, 1);
  lua_call(L, 0, 1);
  if (!lua_istable(L, -1)) refuse(L, "the file must return a table: return {name = …}");
  name = string_member(L, "name");
  file = string_member(L, "file");
  const std::string kind_name = string_member(L, "kind");
  const auto found = std::find_if(kinds().begin(), kinds().end(),
                                  [&](const Kind& known) { return known.name == kind_name; });
  if (found == kinds().end())
    refuse(L, fmt::format("kind '{}' is unknown: multiple_choice, continuation, document and "
                          "blocks are there",
                          kind_name));
  kind = found->kind;
  read_forms(L);
  metrics = list_member(L, "metrics");
  for (const std::string& metric : metrics)
    if (std::find(found->metrics.begin(), found->metrics.end(), metric) == found->metrics.end())
      refuse(L, fmt::format("a {} task has no metric '{}'", kind_name, metric));
  read_ledger(L);
  std::vector<std::string> wanted(found->members.begin(), found->members.end());
  if (kind == TaskKind::kMultipleChoice) {
    const bool by_context = lua_getfield(L, -1, "contexts") != LUA_TNIL;
    lua_pop(L, 1);
    for (const char* member :
         by_context ? std::array{"contexts", "continuation"} : std::array{"context", "choices"})
      wanted.emplace_back(member);
  }
  for (const std::string& member : wanted) {
    if (lua_getfield(L, -1, member.c_str()) == LUA_TNIL)
      refuse(L, fmt::format("a {} task must have '{}'", kind_name, member));
    lua_pop(L, 1);
  }
  if (kind == TaskKind::kBlocks) separator = string_member(L, "separator");
  table = luaL_ref(L, LUA_REGISTRYINDEX);
}

// One list of names, or a list of such lists, for files that were published in several forms.
void Task::Impl::read_forms(lua_State* L) {
  const int file_table = lua_gettop(L);
  lua_getfield(L, file_table, "fields");
  const int list = lua_gettop(L);
  if (lua_istable(L, list)) {
    for (lua_Integer i = 1; lua_rawgeti(L, list, i) == LUA_TTABLE; ++i)
      forms.push_back(take_list(L, "fields"));
  }
  lua_settop(L, file_table);
  if (forms.empty()) forms.push_back(list_member(L, "fields"));
}

void Task::Impl::read_ledger(lua_State* L) {
  if (lua_getfield(L, -1, "ledger") != LUA_TNIL) {
    if (!lua_istable(L, -1)) refuse(L, "'ledger' must be a table {column = …, metric = …}");
    ledger = {string_member(L, "column"), string_member(L, "metric")};
    if (std::find(metrics.begin(), metrics.end(), ledger.metric) == metrics.end())
      refuse(L, fmt::format("'ledger' names '{}', which is none of its metrics", ledger.metric));
  }
  lua_pop(L, 1);
}

void Task::Impl::check_fields(const json& document) const {
  for (const std::vector<std::string>& fields : forms)
    if (std::all_of(fields.begin(), fields.end(),
                    [&](const std::string& path) { return at_path(document, path) != nullptr; }))
      return;
  for (const std::string& path : forms.front()) (void)field(document, path);
}

void Task::Impl::push_made(lua_State* L, const char* member, const json& document,
                           bool path) const {
  lua_rawgeti(L, LUA_REGISTRYINDEX, table);
  lua_getfield(L, -1, member);
  if (lua_isfunction(L, -1)) {
    push(L, document);
    lua_call(L, 1, 1);
  } else if (lua_type(L, -1) == LUA_TSTRING) {
    const std::string text = lua_tostring(L, -1);
    if (path) {
      push(L, field(document, text));
    } else {
      const std::string filled = fill(text, document);
      lua_pushlstring(L, filled.data(), filled.size());
    }
  }
}

std::string Task::Impl::make_text(lua_State* L, const char* member, const json& document) const {
  push_made(L, member, document, false);
  if (lua_type(L, -1) != LUA_TSTRING) throw BadDocument{fmt::format("its {} is no text", member)};
  size_t length = 0;
  const char* text = lua_tolstring(L, -1, &length);
  return {text, length};
}

std::vector<std::string> Task::Impl::make_list(lua_State* L, const char* member,
                                               const json& document) const {
  push_made(L, member, document, true);
  if (!lua_istable(L, -1)) throw BadDocument{fmt::format("its {} are no list", member)};
  const int list = lua_gettop(L);
  std::vector<std::string> made;
  for (lua_Integer i = 1; lua_rawgeti(L, list, i) != LUA_TNIL; ++i, lua_settop(L, list)) {
    if (lua_type(L, -1) != LUA_TSTRING)
      throw BadDocument{fmt::format("number {} of its {} is no text", i, member)};
    size_t length = 0;
    const char* text = lua_tolstring(L, -1, &length);
    made.emplace_back(text, length);
  }
  // A list in the file is of templates; what a function made is not.
  lua_rawgeti(L, LUA_REGISTRYINDEX, table);
  lua_getfield(L, -1, member);
  if (lua_istable(L, -1))
    for (std::string& text : made) text = fill(text, document);
  return made;
}

int64_t Task::Impl::make_gold(lua_State* L, const json& document, size_t choices) const {
  push_made(L, "gold", document, true);
  int whole = 0;
  lua_Integer gold = lua_tointegerx(L, -1, &whole);  // "2" counts, as some files have it
  if (whole == 0) throw BadDocument{"its answer is none of the choices"};
  if (gold < 0 || gold >= static_cast<lua_Integer>(choices))
    throw BadDocument{
        fmt::format("its answer is choice {} (from 0), but there are {}", gold, choices)};
  return gold;
}

Question Task::Impl::make(lua_State* L, const json& document) const {
  check_fields(document);
  Question question;
  if (kind == TaskKind::kDocument || kind == TaskKind::kBlocks) {
    question.prompts.push_back({"", make_text(L, "text", document)});
    if (kind == TaskKind::kDocument) {
      lua_rawgeti(L, LUA_REGISTRYINDEX, table);
      const bool named = lua_getfield(L, -1, "original") != LUA_TNIL;
      const std::string original =
          named ? make_text(L, "original", document) : question.prompts[0].continuation;
      question.words = count_words(original);
      question.bytes = std::ssize(original);
    }
    return question;
  }
  if (kind == TaskKind::kContinuation) {
    question.prompts.push_back({make_text(L, "context", document),
                                fmt::format(" {}", make_text(L, "continuation", document))});
    return question;
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, table);
  const bool by_context = lua_getfield(L, -1, "contexts") != LUA_TNIL;
  const std::vector<std::string> choices =
      make_list(L, by_context ? "contexts" : "choices", document);
  const std::string shared = make_text(L, by_context ? "continuation" : "context", document);
  for (const std::string& choice : choices) {
    if (choice.empty()) throw BadDocument{"one of its choices is empty"};
    question.prompts.push_back(by_context ? Prompt{choice, fmt::format(" {}", shared)}
                                          : Prompt{shared, fmt::format(" {}", choice)});
    question.choice_length.push_back(characters(choice));
  }
  if (choices.empty()) throw BadDocument{"it has no choices"};
  question.gold = make_gold(L, document, choices.size());
  return question;
}

Task::Task(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Task::Task(Task&&) noexcept = default;
Task& Task::operator=(Task&&) noexcept = default;
Task::~Task() = default;

const std::string& Task::name() const { return impl_->name; }
TaskKind Task::kind() const { return impl_->kind; }
const std::vector<std::string>& Task::metrics() const { return impl_->metrics; }
const std::string& Task::file() const { return impl_->file; }
const std::string& Task::separator() const { return impl_->separator; }
const Task::Ledger& Task::ledger() const { return impl_->ledger; }

Result<Task> Task::load(std::string_view source, const std::string& file_name) {
  auto impl = std::make_unique<Impl>(file_name);
  const Status loaded =
      impl->guest.run(kLimits.load_seconds, [&](lua_State* L) { impl->load(L, source); });
  if (!loaded) return fail("bad_task", loaded.error().message);
  return Task(std::move(impl));
}

Result<Question> Task::question(const json& document) {
  if (!document.is_object()) return fail("bad_document", "it is no JSON object");
  Question question;
  std::optional<std::string> bad;
  const Status made = impl_->guest.run(kLimits.call_seconds, [&](lua_State* L) {
    try {
      question = impl_->make(L, document);
    } catch (const BadDocument& found) {
      bad = found.message;
    }
  });
  if (bad) return fail("bad_document", *bad);
  if (!made) return fail("bad_document", made.error().message);
  return question;
}

}  // namespace bitloop::trainer
