#include "harness/journal/objects.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <zlib.h>

#include "harness/journal/git.h"

namespace bitloop::journal {
namespace {

constexpr int kCompression = Z_BEST_SPEED;  // git's own choice for loose objects
constexpr mode_t kObjectMode = 0444;

Result<std::string> deflated(const std::string& plain) {
  uLongf size = ::compressBound(plain.size());
  std::string packed(size, '\0');
  const int code =
      ::compress2(reinterpret_cast<Bytef*>(packed.data()), &size,
                  reinterpret_cast<const Bytef*>(plain.data()), plain.size(), kCompression);
  if (code != Z_OK)
    return fail("journal_failed", fmt::format("an object can't be compressed (zlib: {})", code));
  packed.resize(size);
  return packed;
}

}  // namespace

std::filesystem::path ObjectWriter::path_of(const git_oid& id) const {
  const std::string name = to_hex(id);
  return objects_ / name.substr(0, 2) / name.substr(2);
}

Result<WrittenObject> ObjectWriter::write(git_object_t kind, std::string_view content) const {
  WrittenObject object;
  if (const int code = git_odb_hash(&object.id, content.data(), content.size(), kind); code < 0)
    return std::unexpected(git_error(code, "naming an object"));
  // Packs that came since are not looked for: what is written twice harms nobody.
  if (git_odb_exists_ext(known_, &object.id, GIT_ODB_LOOKUP_NO_REFRESH) == 1) return object;
  std::string plain = fmt::format("{} {}", git_object_type2string(kind), content.size());
  plain += '\0';
  plain += content;
  BITLOOP_ASSIGN(packed, deflated(plain));
  BITLOOP_ASSIGN(file, spare_.take());
  BITLOOP_TRY(write_all(file.fd(), packed));
  if (::fchmod(file.fd(), kObjectMode) != 0)
    return std::unexpected(errno_error("an object of the journal", errno));
  const std::filesystem::path path = path_of(object.id);
  auto named = file.name(path);
  if (!named && named.error().code == "file_not_found") {
    if (::mkdir(path.parent_path().c_str(), 0777) != 0 && errno != EEXIST)
      return std::unexpected(errno_error(path.parent_path().string(), errno));
    named = file.name(path);
  }
  if (named)
    object.file = std::move(*named);
  else if (named.error().code != "exists")  // another session wrote the same meanwhile
    return std::unexpected(named.error());
  return object;
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
