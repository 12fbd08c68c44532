"""When a program must not start, since it would be open to everybody."""

from dataclasses import dataclass

from auth_min.doors import is_loopback


@dataclass(frozen=True, slots=True)
class Exposure:
    """How a program is about to listen."""

    bind_host: str
    has_credentials: bool
    has_tls: bool
    is_cloud: bool
    insecure_plaintext: bool = False
    """The operator has said that plain text is meant (LLORCH_INSECURE_PLAINTEXT)."""

    def problems(self) -> tuple[str, ...]:
        """Say everything for which the program must refuse to start."""
        problems = []
        if not is_loopback(self.bind_host) and not self.has_credentials:
            problems.append(
                f"{self.bind_host} can be reached from other machines and no authentication is "
                "configured: set a token, or bind a loopback address"
            )
        if self.is_cloud and not self.has_tls and not self.insecure_plaintext:
            problems.append(
                "the cloud profile needs TLS: configure a certificate and its key, or set "
                "LLORCH_INSECURE_PLAINTEXT=true if something in front of it encrypts"
            )
        return tuple(problems)

    def warnings(self) -> tuple[str, ...]:
        """Say what each start must repeat in the log."""
        if self.is_cloud and not self.has_tls and self.insecure_plaintext:
            return ("listening WITHOUT TLS: tokens and prompts travel in plain text",)
        return ()
