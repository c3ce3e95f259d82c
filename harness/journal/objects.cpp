#include "harness/journal/objects.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include "harness/journal/git.h"

namespace bitloop::journal {

std::filesystem::path loose_path(const std::filesystem::path& repository, const git_oid& id) {
  const std::string name = to_hex(id);
  return repository / "objects" / name.substr(0, 2) / name.substr(2);
}

Result<NewObject> ObjectWriter::write(git_object_t kind, std::string_view content,
                                      const git_oid* there) const {
  NewObject object;
  if (const int code = git_odb_hash(&object.id, content.data(), content.size(), kind); code < 0)
    return std::unexpected(git_error(code, "naming an object"));
  if (there && git_oid_equal(&object.id, there)) return object;
  std::string plain = fmt::format("{} {}", git_object_type2string(kind), content.size());
  plain += '\0';
  plain += content;
  BITLOOP_ASSIGN(packed, deflater_.deflated(plain));
  object.bytes = std::move(packed);
  BITLOOP_ASSIGN(file, spare_.take());
  BITLOOP_TRY(write_all(file.fd(), object.bytes));
  if (::fchmod(file.fd(), kObjectMode) != 0)
    return std::unexpected(errno_error("an object of the journal", errno));
  object.file.emplace(std::move(file));
  return object;
}

Status ObjectWriter::publish(NewObject& object) const {
  if (!object.file) return {};
  const std::filesystem::path path = loose_path(repository_, object.id);
  auto named = object.file->name(path);
  if (!named && named.error().code == "file_not_found") {
    if (::mkdir(path.parent_path().c_str(), 0777) != 0 && errno != EEXIST)
      return std::unexpected(errno_error(path.parent_path().string(), errno));
    named = object.file->name(path);
  }
  // Another session may have written the same meanwhile.
  if (!named && named.error().code != "exists") return std::unexpected(named.error());
  return {};
}

std::string tree_content(std::initializer_list<TreeFile> files) {
  std::string content;
  for (const TreeFile& file : files) {
    content += fmt::format("100644 {}", file.name);
    content += '\0';
    content.append(reinterpret_cast<const char*>(file.blob.id), GIT_OID_RAWSZ);
  }
  return content;
}

std::string commit_content(const CommitParts& parts) {
  const std::string signature = fmt::format("{} {} +0000", parts.who, parts.time_s);
  return fmt::format("tree {}\n{}author {}\ncommitter {}\n\n{}", to_hex(parts.tree),
                     parts.parent ? fmt::format("parent {}\n", to_hex(*parts.parent)) : "",
                     signature, signature, parts.message);
}

}  // namespace bitloop::journal
