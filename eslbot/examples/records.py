"""The example company's data and rules: customers, orders, payments, appointments. No I/O.

All of it follows from one date, so that two runs with the same `today` answer alike.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import date, time, timedelta
from decimal import Decimal, InvalidOperation
from threading import Lock
from typing import Any

OPENS, CLOSES = time(9), time(17)
SLOT_MINUTES = 60
BOOKABLE_DAYS = 60
SERVICES = ("checkup", "cleaning", "consultation")
MAX_KEPT = 10_000  # appointments, payments, promises and answers to be repeated, each
MAX_PROMISE_DAYS = 30


class RuleError(Exception):
    """What was asked for is not possible. status: of HTTP; code: one word for a program."""

    def __init__(self, status: int, code: str, **more: Any) -> None:
        super().__init__(code)
        self.status = status
        self.body = {"error": code, **more}


@dataclass(slots=True)
class Customer:
    """balance, in dollars with two decimals: what is owed. due: ISO date."""

    account: str
    name: str
    balance: str
    due: str
    street: str
    postcode: str
    phone: str


@dataclass(slots=True)
class Order:
    """status: processing, shipped, delivered or cancelled. Dates are ISO."""

    number: str
    account: str
    item: str
    status: str
    ordered: str
    arrives: str
    shipping_street: str
    shipping_postcode: str
    billing_street: str
    billing_postcode: str


@dataclass(slots=True)
class Appointment:
    """date: ISO, time: HH:MM."""

    id: str
    account: str
    service: str
    date: str
    time: str


@dataclass(slots=True)
class Records:
    """Thread-safe: each public method is one transaction."""

    today: date
    customers: dict[str, Customer] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    appointments: dict[str, Appointment] = field(default_factory=dict)
    payments: list[dict[str, str]] = field(default_factory=list)
    promises: list[dict[str, str]] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)
    _count: int = 0

    def __post_init__(self) -> None:
        self._seed()

    # -- customers

    def customer(self, account: str) -> dict[str, Any]:
        with self._lock:
            return asdict(self._customer(account))

    def move(self, account: str, street: str, postcode: str) -> dict[str, Any]:
        """A new address of a customer; open orders go on to the old one."""
        with self._lock:
            customer = self._customer(account)
            customer.street, customer.postcode = (
                _text(street, "street"),
                _text(postcode, "postcode"),
            )
            return asdict(customer)

    # -- orders

    def orders_of(self, account: str) -> dict[str, Any]:
        """Newest first."""
        with self._lock:
            self._customer(account)
            found = [asdict(o) for o in self.orders.values() if o.account == account]
        found.sort(key=lambda o: (o["ordered"], o["number"]), reverse=True)
        return {"count": len(found), "latest": found[0] if found else None, "orders": found}

    def order(self, number: str) -> dict[str, Any]:
        with self._lock:
            return asdict(self._order(number))

    def ship_to(self, number: str, street: str, postcode: str) -> dict[str, Any]:
        """The billing address stays."""
        with self._lock:
            order = self._order(number)
            self._open(order)
            order.shipping_street = _text(street, "street")
            order.shipping_postcode = _text(postcode, "postcode")
            return asdict(order)

    def cancel_order(self, number: str) -> dict[str, Any]:
        with self._lock:
            order = self._order(number)
            self._open(order)
            order.status = "cancelled"
            return asdict(order)

    # -- the calendar

    def free(self, day: str, service: str) -> dict[str, Any]:
        """The free times of a day; first is "" when there is none, next a day with room."""
        with self._lock:
            wanted = self._day(day)
            self._service(service)
            times = self._free(wanted)
            following = self._next_free(wanted if times else wanted + timedelta(days=1))
        return {
            "date": wanted.isoformat(),
            "service": service,
            "count": len(times),
            "free": times,
            "first": times[0] if times else "",
            "next": following,
        }

    def book(self, account: str, service: str, day: str, at: str) -> dict[str, Any]:
        with self._lock:
            self._customer(account)
            self._service(service)
            wanted = self._day(day)
            self._take(wanted, at)
            self._bounded(self.appointments)
            made = Appointment(self._id("A"), account, service, wanted.isoformat(), at)
            self.appointments[made.id] = made
            return asdict(made)

    def appointment(self, number: str) -> dict[str, Any]:
        with self._lock:
            return asdict(self._appointment(number))

    def appointments_of(self, account: str) -> dict[str, Any]:
        """Soonest first."""
        with self._lock:
            self._customer(account)
            found = [asdict(a) for a in self.appointments.values() if a.account == account]
        found.sort(key=lambda a: (a["date"], a["time"]))
        return {"count": len(found), "first": found[0] if found else None, "appointments": found}

    def rebook(self, number: str, day: str, at: str) -> dict[str, Any]:
        with self._lock:
            found = self._appointment(number)
            wanted = self._day(day)
            if (found.date, found.time) != (wanted.isoformat(), at):
                self._take(wanted, at)
                found.date, found.time = wanted.isoformat(), at
            return asdict(found)

    def cancel(self, number: str) -> dict[str, Any]:
        with self._lock:
            found = self._appointment(number)
            del self.appointments[found.id]
            return asdict(found)

    # -- payments

    def pay(self, account: str, amount: str) -> dict[str, Any]:
        with self._lock:
            customer = self._customer(account)
            paid, owed = _amount(amount), Decimal(customer.balance)
            if paid > owed:
                raise RuleError(409, "more_than_owed", balance=customer.balance)
            self._bounded(self.payments)
            customer.balance = f"{owed - paid:.2f}"
            receipt = {"receipt": self._id("P"), "account": account, "amount": f"{paid:.2f}"}
            self.payments.append(receipt)
            return {**receipt, "balance": customer.balance}

    def promise(self, account: str, day: str) -> dict[str, Any]:
        """The customer says on what day he will pay."""
        with self._lock:
            customer = self._customer(account)
            wanted = _date(day)
            if not self.today <= wanted <= self.today + timedelta(days=MAX_PROMISE_DAYS):
                latest = (self.today + timedelta(days=MAX_PROMISE_DAYS)).isoformat()
                raise RuleError(409, "too_late", latest=latest)
            self._bounded(self.promises)
            made = {"promise": self._id("R"), "account": account, "date": wanted.isoformat()}
            self.promises.append(made)
            return {**made, "amount": customer.balance}

    # -- under the lock

    def _customer(self, account: str) -> Customer:
        if account not in self.customers:
            raise RuleError(404, "no_such_account")
        return self.customers[account]

    def _order(self, number: str) -> Order:
        if number not in self.orders:
            raise RuleError(404, "no_such_order")
        return self.orders[number]

    def _appointment(self, number: str) -> Appointment:
        if number not in self.appointments:
            raise RuleError(404, "no_such_appointment")
        return self.appointments[number]

    @staticmethod
    def _open(order: Order) -> None:
        if order.status != "processing":
            raise RuleError(409, f"already_{order.status}")

    @staticmethod
    def _service(service: str) -> None:
        if service not in SERVICES:
            raise RuleError(422, "no_such_service", services=list(SERVICES))

    def _day(self, text: str) -> date:
        day = _date(text)
        if not self.today <= day <= self.today + timedelta(days=BOOKABLE_DAYS):
            raise RuleError(409, "out_of_range")
        return day

    def _free(self, day: date) -> list[str]:
        if day.weekday() >= 5:
            return []
        taken = {a.time for a in self.appointments.values() if a.date == day.isoformat()}
        minutes = range(OPENS.hour * 60, CLOSES.hour * 60, SLOT_MINUTES)
        times = (f"{m // 60:02}:{m % 60:02}" for m in minutes)
        return [one for one in times if one not in taken]

    def _next_free(self, day: date) -> dict[str, str]:
        for ahead in range(14):
            times = self._free(day + timedelta(days=ahead))
            if times:
                return {"date": (day + timedelta(days=ahead)).isoformat(), "time": times[0]}
        return {"date": "", "time": ""}

    def _take(self, day: date, at: str) -> None:
        free = self._free(day)
        if at not in free:
            later = [one for one in free if one > at]
            nearest = {"date": day.isoformat(), "time": later[0]} if later else None
            proposal = nearest or self._next_free(day + timedelta(days=1))
            raise RuleError(409, "not_free", next=proposal)

    def _id(self, letter: str) -> str:
        self._count += 1
        return f"{letter}{1000 + self._count}"

    @staticmethod
    def _bounded(kept: Any) -> None:
        if len(kept) >= MAX_KEPT:
            raise RuleError(507, "full")

    # -- what is there at the beginning

    def _seed(self) -> None:
        def day(ahead: int) -> str:
            return (self.today + timedelta(days=ahead)).isoformat()

        people = [
            ("4271", "Maria Lopez", "120.50", 10, "12 Oak Street", "60601", "+13125550142"),
            ("1234", "James Miller", "0.00", 40, "8 Lake Road", "60614", "+13125550123"),
            ("9876", "Aisha Khan", "45.00", 3, "77 Hill Avenue", "60622", "+13125550198"),
            ("5381", "Tom Becker", "310.25", -12, "3 Mill Lane", "60647", "+13125550153"),
        ]
        for account, name, balance, due, street, postcode, phone in people:
            self.customers[account] = Customer(
                account, name, balance, day(due), street, postcode, phone
            )
        bought = [
            ("70011", "4271", "a kettle", "processing", -1, 4),
            ("70008", "4271", "a desk lamp", "delivered", -20, -15),
            ("70012", "9876", "a pair of headphones", "shipped", -3, 1),
            ("70005", "5381", "a toaster", "cancelled", -30, -24),
        ]
        for number, account, item, status, ordered, arrives in bought:
            home = self.customers[account]
            place = (home.street, home.postcode)
            self.orders[number] = Order(
                number, account, item, status, day(ordered), day(arrives), *place, *place
            )
        # The next working day is nearly full, the one after it has room.
        first = self.today + timedelta(days=1)
        while first.weekday() >= 5:
            first += timedelta(days=1)
        for at in self._free(first)[:-2]:
            one = Appointment(self._id("A"), "1234", "checkup", first.isoformat(), at)
            self.appointments[one.id] = one


def _text(value: str, name: str) -> str:
    value = " ".join(value.split())
    if not 0 < len(value) <= 200 or not value.isprintable():
        raise RuleError(422, f"bad_{name}")
    return value


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise RuleError(422, "bad_date") from None


def _amount(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise RuleError(422, "bad_amount") from None
    if not value.is_finite() or value <= 0 or value != round(value, 2):
        raise RuleError(422, "bad_amount")
    return value
