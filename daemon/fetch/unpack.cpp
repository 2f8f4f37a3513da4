#include "daemon/fetch/unpack.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <locale.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "daemon/core/plain_line.hpp"
#include "daemon/core/quote.hpp"
#include "fusefs/boundary/fd.hpp"

namespace airlock::fetch {

namespace {

constexpr std::size_t block_size = 64 * 1024;
constexpr std::size_t longest_name = 255;
constexpr std::size_t longest_target = 4095;

tl::unexpected<std::string> refused(std::string_view name, std::string_view why) {
  return tl::unexpected(fmt::format("the archive's entry {} {}", quote(name), why));
}

tl::unexpected<std::string> failed(std::string_view name) {
  return refused(name, fmt::format("cannot be written down: {}", std::strerror(errno)));
}

tl::unexpected<std::string> broken(archive* reader) {
  if (archive_errno(reader) == ENOMEM)
    return tl::unexpected(fmt::format(
        "it takes more memory than there is for it; raise fetch.max-memory in {} if that "
        "is meant",
        Config::default_file));
  const char* why = archive_error_string(reader);
  return tl::unexpected(fmt::format(
      "it is no archive that can be unpacked ({}); lock the URL of a tar or zip archive",
      one_plain_line(why != nullptr ? why : "unknown")));
}

/// The names on the way; none for the folder itself.
tl::expected<std::vector<std::string>, std::string> parts_of(std::string_view name,
                                                             unsigned depth) {
  std::vector<std::string> parts;
  const auto whole = name;
  if (name.starts_with('/')) return refused(whole, "has an absolute name");
  while (!name.empty()) {
    const auto part = name.substr(0, name.find('/'));
    name.remove_prefix(std::min(part.size() + 1, name.size()));
    if (part.empty() || part == ".") continue;
    if (part == "..") return refused(whole, "leads out of the archive");
    if (part.size() > longest_name) return refused(whole, "has a name that is too long");
    parts.emplace_back(part);
    if (parts.size() > depth) return refused(whole, "lies too deep");
  }
  return parts;
}

class Unpacking {
 public:
  Unpacking(archive* from, int folder, const UnpackLimits& limits)
      : from_(from), folder_(folder), limits_(limits) {}

  Done one(archive_entry* entry) {
    const char* name = archive_entry_pathname(entry);
    if (name == nullptr)
      return tl::unexpected(
          fmt::format("the archive's entry {} has a name that is not in the character set which it "
                      "says: use another archive",
                      entries_ + 1));
    if (auto done = count_one(); !done) return done;
    if (archive_entry_hardlink(entry) != nullptr) return refused(name, "is a hard link");
    const auto parts = parts_of(name, limits_.depth);
    if (!parts) return tl::unexpected(parts.error());
    const auto type = archive_entry_filetype(entry);
    if (type == AE_IFDIR) return enter(*parts, parts->size(), name).map([](const Fd&) {});
    if (type != AE_IFREG && type != AE_IFLNK)
      return refused(name, "is neither file, folder nor symlink");
    if (parts->empty()) return refused(name, "is no folder");
    auto parents = *parts;
    parents.pop_back();
    const auto folder = enter(parents, parts->size(), name);
    if (!folder) return tl::unexpected(folder.error());
    return type == AE_IFREG ? file(folder->get(), parts->back(), entry)
                            : link(folder->get(), parts->back(), entry);
  }

 private:
  Done count_one() {
    if (++entries_ <= limits_.entries) return {};
    return tl::unexpected(
        fmt::format("the archive makes more than {} files, folders and links: use a smaller one",
                    limits_.entries));
  }

  /// Makes what is missing on the way; never goes through a link. What is made counts, since a few
  /// names can imply very many folders; but for the entry's own folder, which was counted as an
  /// entry: the `own`th part.
  tl::expected<Fd, std::string> enter(const std::vector<std::string>& parts, std::size_t own,
                                      std::string_view name) {
    Fd at(::fcntl(folder_, F_DUPFD_CLOEXEC, 0));
    std::size_t number = 0;
    for (const auto& part : parts) {
      const bool made = ::mkdirat(at.get(), part.c_str(), 0700) == 0;
      if (!made && errno != EEXIST) return failed(name);
      if (++number != own && made)
        if (auto done = count_one(); !done) return tl::unexpected(done.error());
      at = Fd(::openat(at.get(), part.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!at) return refused(name, "goes through something that is no folder");
    }
    return at;
  }

  /// What comes later replaces what came before.
  static void make_room(int folder, const std::string& name) {
    ::unlinkat(folder, name.c_str(), 0);
  }

  Done link(int folder, const std::string& name, archive_entry* entry) const {
    const char* target = archive_entry_symlink(entry);
    if (target == nullptr || *target == '\0' || std::strlen(target) > longest_target)
      return refused(name, "is a symlink to nothing that can be");
    make_room(folder, name);
    if (::symlinkat(target, folder, name.c_str()) != 0) return failed(name);
    return {};
  }

  Done file(int folder, const std::string& name, archive_entry* entry) {
    const mode_t mode = (archive_entry_perm(entry) & S_IXUSR) != 0 ? 0700 : 0600;
    make_room(folder, name);
    const Fd out(
        ::openat(folder, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
    if (!out) return failed(name);
    std::array<char, block_size> block{};
    for (;;) {
      const auto n = archive_read_data(from_, block.data(), block.size());
      if (n == 0) return {};
      if (n < 0) return broken(from_);
      bytes_ += static_cast<std::uint64_t>(n);
      if (bytes_ > limits_.bytes)
        return tl::unexpected(
            fmt::format("the archive holds more than {} bytes: raise fetch.max-bytes in {} if that "
                        "is meant",
                        limits_.bytes, Config::default_file));
      if (::write(out.get(), block.data(), static_cast<std::size_t>(n)) != n) return failed(name);
    }
  }

  archive* from_;
  int folder_;
  UnpackLimits limits_;
  std::uint64_t entries_ = 0;
  std::uint64_t bytes_ = 0;
};

/// Not every format and filter that libarchive knows: some run programs.
void support(archive* reader) {
  archive_read_support_format_tar(reader);
  archive_read_support_format_zip(reader);
  archive_read_support_filter_gzip(reader);
  archive_read_support_filter_bzip2(reader);
  archive_read_support_filter_xz(reader);
  archive_read_support_filter_lzma(reader);
  archive_read_support_filter_zstd(reader);
}

using Reader = std::unique_ptr<archive, decltype(&archive_read_free)>;

/// At its beginning.
tl::expected<Reader, std::string> open_archive(int fd) {
  Reader reader(archive_read_new(), &archive_read_free);
  support(reader.get());
  if (::lseek(fd, 0, SEEK_SET) == 0 &&
      archive_read_open_fd(reader.get(), fd, block_size) == ARCHIVE_OK)
    return reader;
  return broken(reader.get());
}

bool is_zip(archive* reader) {
  return (archive_format(reader) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_ZIP;
}

/// While it lives, names that an archive says are in UTF-8 are given by libarchive as they are,
/// which in the plain locale it does not give at all. Not for tar: there it would compose accents
/// in them, and in the plain locale, which is Nix's too, it leaves the bytes alone.
class Utf8Names {
 public:
  Utf8Names() : own_(::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)) {
    if (own_ != nullptr) before_ = ::uselocale(own_);
  }
  ~Utf8Names() {
    if (own_ == nullptr) return;
    ::uselocale(before_);
    ::freelocale(own_);
  }
  Utf8Names(const Utf8Names&) = delete;
  Utf8Names& operator=(const Utf8Names&) = delete;

 private:
  locale_t own_;
  locale_t before_ = nullptr;
};

Done unpack_all(archive* reader, archive_entry* entry, int result, Unpacking unpacking) {
  for (;;) {
    if (result == ARCHIVE_EOF) return {};
    if (result != ARCHIVE_OK && result != ARCHIVE_WARN) return broken(reader);
    if (auto done = unpacking.one(entry); !done) return done;
    result = archive_read_next_header(reader, &entry);
  }
}

}  // namespace

Done unpack(int archive_fd, int folder, const UnpackLimits& limits) {
  auto reader = open_archive(archive_fd);
  if (!reader) return tl::unexpected(reader.error());
  archive_entry* entry = nullptr;
  auto result = archive_read_next_header(reader->get(), &entry);
  std::optional<Utf8Names> names;
  if (is_zip(reader->get())) {
    names.emplace();
    reader = open_archive(archive_fd);
    if (!reader) return tl::unexpected(reader.error());
    result = archive_read_next_header(reader->get(), &entry);
  }
  return unpack_all(reader->get(), entry, result, {reader->get(), folder, limits});
}

tl::expected<std::string, std::string> only_folder(int folder) {
  const auto close = [](DIR* opened) { ::closedir(opened); };
  const std::unique_ptr<DIR, decltype(close)> listing(
      ::fdopendir(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)), close);
  if (!listing) return tl::unexpected(std::string("the unpacked archive cannot be listed"));
  std::vector<std::string> names;
  while (const auto* entry = ::readdir(listing.get())) {
    const std::string name(&entry->d_name[0]);
    if (name != "." && name != "..") names.push_back(name);
    if (names.size() > 1) return std::string();
  }
  if (names.empty()) return tl::unexpected(std::string("the archive is empty"));
  struct stat status {};
  if (::fstatat(folder, names.front().c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
    return tl::unexpected(std::string("the unpacked archive cannot be read"));
  return S_ISDIR(status.st_mode) ? names.front() : std::string();
}

}  // namespace airlock::fetch
