"""`redaction:`: what of the caller's words may be kept, and be told to providers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from workers.bot.texts import Model

Kind = Literal["card", "iban", "national_id", "phone", "email", "number"]
NationalId = Literal[
    "at.vnr", "be.nn", "br.cpf", "ca.sin", "ch.ssn", "de.idnr", "dk.cpr", "es.dni", "es.nie",
    "fi.hetu", "fr.nir", "gb.nhs", "gb.utr", "ie.pps", "in_.aadhaar", "it.codicefiscale",
    "no.fodselsnummer", "nl.bsn", "pl.pesel", "pt.nif", "se.personnummer", "us.ssn",
]  # fmt: skip


class Redaction(Model):
    """allow: kinds that are left as they are. region: where a phone number without a country code
    belongs, as ISO 3166 has it. national_ids: of which countries; none: those of the region."""

    allow: Annotated[tuple[Kind, ...], Field(max_length=6)] = ()
    region: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] = "US"
    national_ids: Annotated[tuple[NationalId, ...], Field(max_length=22)] | None = None
