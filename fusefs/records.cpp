#include "fusefs/records.hpp"

#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <sstream>
#include <stdexcept>

namespace airlock::fusefs {
namespace {

constexpr const char* unfinished = ".new";

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const auto written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace

std::string format_record(const SessionRecord& record) {
  std::ostringstream out;
  out << "session " << record.number << '\n';
  out << "derivation " << record.derivation.base() << '\n';
  out << "chroot " << record.chroot.device << ' ' << record.chroot.inode << '\n';
  out << "worker " << record.worker.pid << ' ' << record.worker.start_time << '\n';
  if (record.first) {
    out << "first " << record.first->pid << ' ' << record.first->start_time << '\n';
  }
  if (record.verified) out << "verified\n";
  return out.str();
}

std::optional<SessionRecord> parse_record(std::string_view text) {
  std::istringstream in{std::string(text)};
  std::string word;
  std::uint64_t number = 0;
  std::string base;
  FileIdentity chroot;
  ProcessStamp worker;
  if (!(in >> word >> number) || word != "session") return std::nullopt;
  if (!(in >> word >> base) || word != "derivation") return std::nullopt;
  auto derivation = StorePath::parse(base);
  if (!derivation || !derivation->is_derivation()) return std::nullopt;
  if (!(in >> word >> chroot.device >> chroot.inode) || word != "chroot") return std::nullopt;
  if (!(in >> word >> worker.pid >> worker.start_time) || word != "worker") return std::nullopt;
  std::optional<ProcessStamp> first;
  in >> word;
  if (in && word == "first") {
    first.emplace();
    in >> first->pid >> first->start_time >> word;
  }
  // Whatever else there is does not come out again.
  const bool verified = text.ends_with("\nverified\n");
  SessionRecord record{number, std::move(*derivation), chroot, worker, first, verified};
  if (format_record(record) != text) return std::nullopt;
  return record;
}

RecordFolder::RecordFolder(std::string folder) : folder_(std::move(folder)) {
  if (::mkdir(folder_.c_str(), 0700) != 0 && errno != EEXIST) {
    throw std::runtime_error(failure("make the folder " + folder_));
  }
  const Fd made(::open(folder_.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!made) throw std::runtime_error(failure("open the folder " + folder_));
}

bool RecordFolder::write(const SessionRecord& record) const {
  const auto name = folder_ + "/" + record.derivation.base();
  const auto temporary = name + unfinished;
  const Fd file(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (file && write_all(file.get(), format_record(record)) &&
      std::rename(temporary.c_str(), name.c_str()) == 0) {
    return true;
  }
  spdlog::error("{}", failure("write the session record " + name));
  return false;
}

void RecordFolder::remove(const StorePath& derivation) const {
  ::unlink((folder_ + "/" + derivation.base()).c_str());
}

std::vector<SessionRecord> RecordFolder::load() const {
  std::vector<SessionRecord> records;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
    const auto text = read_small_file(entry.path());
    auto record = text ? parse_record(*text) : std::nullopt;
    if (record && record->derivation.base() == entry.path().filename()) {
      records.push_back(std::move(*record));
    } else {
      spdlog::warn("{} is no session record: removed", entry.path().string());
      ::unlink(entry.path().c_str());
    }
  }
  return records;
}

}  // namespace airlock::fusefs
