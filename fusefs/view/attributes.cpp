#include "fusefs/view/attributes.hpp"

namespace airlock::fusefs {
namespace {

struct stat attributes_of_mode(mode_t mode, std::uint64_t size, std::string_view path) {
  struct stat result {};
  result.st_ino = inode_number(path);
  result.st_mode = mode;
  result.st_nlink = 1;
  result.st_size = static_cast<off_t>(size);
  result.st_blksize = 4096;
  result.st_blocks = static_cast<blkcnt_t>((size + 511) / 512);
  result.st_atim.tv_sec = 1;
  result.st_mtim.tv_sec = 1;
  result.st_ctim.tv_sec = 1;
  return result;
}

}  // namespace

std::uint64_t inode_number(std::string_view path) {
  // FNV-1a: not std::hash, whose values are the library's to choose.
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : path) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3;
  }
  return hash == 0 ? 1 : hash;
}

struct stat attributes_of(SessionTree::Kind kind, std::uint64_t size, std::string_view path) {
  using Kind = SessionTree::Kind;
  mode_t permissions = 0444;
  if (kind == Kind::folder || kind == Kind::store || kind == Kind::guest) permissions = 0555;
  if (kind == Kind::link) permissions = 0777;
  if (kind == Kind::socket) permissions = 0666;
  const bool has_size = kind == Kind::file || kind == Kind::link || kind == Kind::guest;
  return attributes_of_mode(type_of(kind) | permissions, has_size ? size : 0, path);
}

struct stat attributes_of(const StoreFile& file, std::string_view path) {
  using Kind = StoreFile::Kind;
  mode_t permissions = 0555;
  if (file.kind == Kind::file) permissions = 0444;
  if (file.kind == Kind::link) permissions = 0777;
  return attributes_of_mode(type_of(file.kind) | permissions, file.size, path);
}

mode_t type_of(SessionTree::Kind kind) {
  switch (kind) {
    case SessionTree::Kind::folder:
    case SessionTree::Kind::store:
      return S_IFDIR;
    case SessionTree::Kind::file:
    case SessionTree::Kind::guest:
      return S_IFREG;
    case SessionTree::Kind::link:
      return S_IFLNK;
    case SessionTree::Kind::socket:
      return S_IFSOCK;
  }
  return S_IFREG;
}

mode_t type_of(StoreFile::Kind kind) {
  switch (kind) {
    case StoreFile::Kind::folder:
      return S_IFDIR;
    case StoreFile::Kind::link:
      return S_IFLNK;
    case StoreFile::Kind::file:
    case StoreFile::Kind::executable:
      return S_IFREG;
  }
  return S_IFREG;
}

}  // namespace airlock::fusefs
